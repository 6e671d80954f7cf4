package driver

import (
	"context"
	"net"
	"strconv"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/failoverproxy/failoverproxy/failover"
	"github.com/failoverproxy/failoverproxy/topology"
)

// scope is the instrumentation scope of all spans and metrics.
const scope = "github.com/failoverproxy/failoverproxy"

// telemetry holds the OpenTelemetry instruments of a cluster. Names and attributes
// are those of the semantic conventions for database clients where they have one;
// the others begin with "failoverproxy.". Gauges and counters are read from the
// cluster's own when somebody collects, so they cost statements nothing.
type telemetry struct {
	tracer        trace.Tracer            // nil = no spans
	duration      metric.Float64Histogram // of statements, seconds
	writerChanges metric.Int64Counter
	outage        metric.Float64Histogram // of incidents, seconds
	registration  metric.Registration
	database      string
}

func newTelemetry(cl *cluster, o options) (*telemetry, error) {
	t := &telemetry{database: cl.cfg.MySQL.DBName}
	if o.tracer != nil {
		t.tracer = o.tracer.Tracer(scope)
	}
	provider := o.meter
	if provider == nil {
		provider = otel.GetMeterProvider()
	}
	i := instruments{meter: provider.Meter(scope)}
	t.duration = i.histogram("db.client.operation.duration", "s", "Duration of statements, waits and retries included.")
	t.writerChanges = i.counter("failoverproxy.writer.changes", "{change}", "Writers that took over from another.")
	t.outage = i.histogram("failoverproxy.incident.outage", "s", "For how long there was no writer to use.")
	observe := i.mirror(cl.mirror, i.observables(cl))
	if i.err != nil {
		return nil, i.err
	}
	var err error
	t.registration, err = i.meter.RegisterCallback(observe, i.observed...)
	return t, err
}

func (t *telemetry) close() error { return t.registration.Unregister() }

func (t *telemetry) snapshotChanged(old, new *topology.Snapshot, _ []topology.Event) {
	if old == nil {
		return
	}
	if before, after := old.LastWriter(), new.LastWriter(); before != "" && after != "" && before != after {
		t.writerChanges.Add(context.Background(), 1)
	}
}

func (t *telemetry) incidentEnded(i failover.Incident) {
	t.outage.Record(context.Background(), i.Outage().Seconds(), metric.WithAttributes(
		attribute.Bool("failoverproxy.writer.changed", i.New != "")))
}

// instruments makes instruments and remembers the first error.
type instruments struct {
	meter    metric.Meter
	observed []metric.Observable
	err      error
}

func (i *instruments) note(err error) {
	if i.err == nil {
		i.err = err
	}
}

func (i *instruments) histogram(name, unit, description string) metric.Float64Histogram {
	h, err := i.meter.Float64Histogram(name, metric.WithUnit(unit), metric.WithDescription(description),
		// The boundaries that the semantic conventions ask for.
		metric.WithExplicitBucketBoundaries(0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10))
	i.note(err)
	return h
}

func (i *instruments) counter(name, unit, description string) metric.Int64Counter {
	c, err := i.meter.Int64Counter(name, metric.WithUnit(unit), metric.WithDescription(description))
	i.note(err)
	return c
}

func (i *instruments) level(name, unit, description string) metric.Int64Observable {
	g, err := i.meter.Int64ObservableUpDownCounter(name, metric.WithUnit(unit), metric.WithDescription(description))
	i.note(err)
	i.observed = append(i.observed, g)
	return g
}

func (i *instruments) total(name, unit, description string) metric.Int64Observable {
	c, err := i.meter.Int64ObservableCounter(name, metric.WithUnit(unit), metric.WithDescription(description))
	i.note(err)
	i.observed = append(i.observed, c)
	return c
}

// observables makes the instruments that are read on collection, and what reads them.
func (i *instruments) observables(cl *cluster) metric.Callback {
	connections := i.level("db.client.connection.count", "{connection}", "Backends by state.")
	limit := i.level("db.client.connection.max", "{connection}", "Backends that an instance may have.")
	pending := i.level("db.client.connection.pending_requests", "{request}", "Sessions in line for a backend.")
	timeouts := i.total("db.client.connection.timeouts", "{timeout}", "Waits for a backend that were given up.")
	pins := i.level("failoverproxy.session.pins", "{session}", "Sessions bound to their backend, by reason.")
	waiting := i.level("failoverproxy.gate.waiting", "{statement}", "Statements that wait for a usable instance.")
	passed := i.total("failoverproxy.gate.statements", "{statement}", "Statements that waited for a usable instance, by fate.")
	faults := i.total("failoverproxy.statement.faults", "{statement}", "Statements that met a fault, by fate.")
	fleet := i.level("failoverproxy.fleet.connections", "{connection}", "Connections of all processes of the fleet to an instance, as seen last.")
	budget := i.level("failoverproxy.fleet.budget", "{connection}", "Connections that the fleet may have to an instance.")
	asked := i.total("failoverproxy.credentials.calls", "{call}", "Calls of the credentials provider, by their reason.")
	failed := i.total("failoverproxy.credentials.failures", "{call}", "Those of them that brought nothing to use.")
	monitor := i.level("failoverproxy.monitor.connections", "{connection}", "Connections of the monitor.")
	by := func(key, value string) metric.MeasurementOption {
		return metric.WithAttributes(attribute.String(key, value))
	}
	return func(_ context.Context, o metric.Observer) error {
		s := cl.stats()
		for _, in := range s.Pool.Instances {
			name := attribute.String("db.client.connection.pool.name", in.ID)
			pool := metric.WithAttributes(name)
			state := func(s string) metric.MeasurementOption {
				return metric.WithAttributes(name, attribute.String("db.client.connection.state", s))
			}
			o.ObserveInt64(connections, int64(max(in.Open-in.InUse, 0)), state("idle"))
			o.ObserveInt64(connections, int64(in.InUse), state("used"))
			o.ObserveInt64(limit, int64(in.Size), pool)
			if cl.fleet != nil {
				o.ObserveInt64(fleet, int64(in.Fleet.Connections), pool)
				o.ObserveInt64(budget, int64(in.Fleet.Budget), pool)
			}
			o.ObserveInt64(pending, int64(in.Waiting), pool)
			o.ObserveInt64(timeouts, int64(in.Timeouts), pool)
		}
		for reason, n := range s.Pool.Pins {
			o.ObserveInt64(pins, int64(n), by("reason", reason.String()))
		}
		o.ObserveInt64(waiting, int64(s.Gate.Waiting))
		for fate, n := range map[string]uint64{
			"drained": s.Gate.Drained, "timed out": s.Gate.TimedOut, "cancelled": s.Gate.Cancelled, "refused": s.Gate.Refused,
		} {
			o.ObserveInt64(passed, int64(n), by("fate", fate))
		}
		for fate, n := range map[string]uint64{
			"retried": s.Statements.Retried, "outcome unknown": s.Statements.OutcomeUnknown,
			"transaction lost": s.Statements.TransactionLost, "session state lost": s.Statements.StateLost,
			"result interrupted": s.Statements.Interrupted,
		} {
			o.ObserveInt64(faults, int64(n), by("fate", fate))
		}
		if k := s.Credentials; cl.credentials != nil {
			o.ObserveInt64(asked, int64(k.Calls)-int64(k.Refreshes)-int64(k.Forced), by("reason", "needed"))
			o.ObserveInt64(asked, int64(k.Refreshes), by("reason", "renewal"))
			o.ObserveInt64(asked, int64(k.Forced), by("reason", "refused"))
			o.ObserveInt64(failed, int64(k.Failures))
		}
		o.ObserveInt64(monitor, int64(s.MonitorConnections))
		return nil
	}
}

// serverAttributes names the instance that answered.
func serverAttributes(addr string) []attribute.KeyValue {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return []attribute.KeyValue{attribute.String("server.address", addr)}
	}
	number, _ := strconv.Atoi(port)
	return []attribute.KeyValue{attribute.String("server.address", host), attribute.Int("server.port", number)}
}
