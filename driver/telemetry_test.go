package driver

import (
	"database/sql"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/failoverproxy/failoverproxy/internal/testutil/aurorasim"
)

// levels collects all sums: the largest of each metric.
func levels(t *testing.T, reader metric.Reader) map[string]int64 {
	t.Helper()
	var data metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &data); err != nil {
		t.Fatal(err)
	}
	got := make(map[string]int64)
	for _, m := range data.ScopeMetrics[0].Metrics {
		if sum, ok := m.Data.(metricdata.Sum[int64]); ok {
			for _, p := range sum.DataPoints {
				got[m.Name] = max(got[m.Name], p.Value)
			}
		}
	}
	return got
}

// TestTelemetry looks at what a program's OpenTelemetry SDK gets: names and attributes of
// the semantic conventions for database clients, and no literal or password anywhere.
func TestTelemetry(t *testing.T) {
	s := build(t, aurorasim.Config{})
	cfg, err := ParseDSN("u:" + canary + "@tcp(" + s.sim.Endpoint() + ")/shop")
	if err != nil {
		t.Fatal(err)
	}
	spans := tracetest.NewSpanRecorder()
	reader := metric.NewManualReader()
	c, err := NewConnector(cfg, WithDialer(s.sim.DialContext), WithLogger(slog.New(slog.DiscardHandler)),
		WithTracerProvider(trace.NewTracerProvider(trace.WithSpanProcessor(spans))),
		WithMeterProvider(metric.NewMeterProvider(metric.WithReader(reader))))
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(c)
	defer db.Close()
	ctx := t.Context()
	for _, q := range []string{"CREATE TABLE t (a BIGINT, b TEXT)", "INSERT INTO t (a, b) VALUES (1, '" + canary + "')"} {
		_, _ = db.ExecContext(ctx, q)
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	s.sim.Writer().SwallowAnswer(aurorasim.SQL("SELECT a FROM t"))
	var a int
	if err := db.QueryRowContext(ctx, "SELECT a FROM t").Scan(&a); err != nil {
		t.Fatal(err)
	}
	_, _ = db.ExecContext(ctx, "NONSENSE '"+canary+"'")
	if _, err := db.ExecContext(ctx, "CREATE TEMPORARY TABLE tt (a INT)"); err != nil {
		t.Fatal(err)
	}

	seen := make(map[string]map[attribute.Key]attribute.Value)
	for _, span := range spans.Ended() {
		attributes := make(map[attribute.Key]attribute.Value)
		for _, kv := range span.Attributes() {
			attributes[kv.Key] = kv.Value
			if strings.Contains(fmt.Sprint(kv.Value.AsInterface()), canary) {
				t.Errorf("a literal in %s of %s", kv.Key, span.Name())
			}
		}
		seen[span.Name()] = attributes
		if attributes["db.system.name"].AsString() != "mysql" || attributes["db.namespace"].AsString() != "shop" {
			t.Errorf("%s: %v", span.Name(), attributes)
		}
	}
	for name, want := range map[string]map[attribute.Key]string{
		"INSERT":   {"db.query.text": "INSERT INTO t (a, b) VALUES (?)", "server.port": "3306", "db.operation.name": "INSERT"},
		"SELECT":   {"failoverproxy.attempts": "2"},
		"NONSENSE": {"error.type": "1064", "db.response.status_code": "1064"},
		"BEGIN":    {}, "COMMIT": {},
	} {
		attributes, ok := seen[name]
		if !ok {
			t.Errorf("no span %s", name)
		}
		for key, value := range want {
			if got := fmt.Sprint(attributes[key].AsInterface()); got != value {
				t.Errorf("%s: %s is %q, want %q", name, key, got, value)
			}
		}
	}

	var data metricdata.ResourceMetrics
	if err := reader.Collect(ctx, &data); err != nil {
		t.Fatal(err)
	}
	names := make(map[string]bool)
	for _, m := range data.ScopeMetrics[0].Metrics {
		names[m.Name] = true
		if text := fmt.Sprintf("%+v", m.Data); strings.Contains(text, canary) {
			t.Errorf("a literal in %s", m.Name)
		}
		if sum, ok := m.Data.(metricdata.Sum[int64]); ok && m.Name == "failoverproxy.statement.faults" {
			for _, p := range sum.DataPoints {
				if fate, _ := p.Attributes.Value("fate"); fate.AsString() == "retried" && p.Value != 1 {
					t.Errorf("%d retries", p.Value)
				}
			}
		}
	}
	for _, name := range []string{
		"db.client.operation.duration", "db.client.connection.count", "db.client.connection.max", "db.client.connection.pending_requests",
		"db.client.connection.timeouts", "failoverproxy.gate.waiting", "failoverproxy.gate.statements", "failoverproxy.statement.faults",
		"failoverproxy.monitor.connections", "failoverproxy.session.pins",
	} {
		if !names[name] {
			t.Errorf("no metric %s", name)
		}
	}
}
