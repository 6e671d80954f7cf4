package driver

import (
	"context"
	"log/slog"
	"net"
	"time"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/failoverproxy/failoverproxy/failover"
	"github.com/failoverproxy/failoverproxy/topology"
)

// Option sets what a DSN cannot say.
type Option func(*options)

type options struct {
	logger *slog.Logger
	tracer trace.TracerProvider
	meter  metric.MeterProvider
	dial   func(ctx context.Context, network, addr string) (net.Conn, error)
	hooks  Hooks
	mirror *mirrorOption

	credentials CredentialsProvider
	provided    bool // credentials was set, perhaps to nil

	authority *authority // of fpTLSCA; nil without
	wrap      wrapOptions

	stopLimit time.Duration // see backend.Config; 0, but where tests of slow machines have time
}

// log is the logger, which is never nil.
func (o *options) log() *slog.Logger {
	if o.logger == nil {
		return slog.New(lateDefault{})
	}
	return o.logger
}

// readAuthority reads what a normalized configuration needs of files.
func (o *options) readAuthority(cfg *Config) (err error) {
	if cfg.TLSCA != "" {
		o.authority, err = newAuthority(cfg.TLSCA, o.log())
	}
	return withhold(err, cfg.MySQL.Passwd, false)
}

// Hooks are called when something happened; any of them may be nil. They are
// called from goroutines of the connector, each one at a time and in order, without
// locks; a hook that blocks delays the news that statements wait for. A hook must not
// close the connector.
type Hooks struct {
	// SnapshotChanged is called after the cluster's snapshot changed. old is nil the
	// first time.
	SnapshotChanged func(old, new *topology.Snapshot, events []topology.Event)
	// IncidentEnded is called when a failover is over, or a suspicion that came to
	// nothing: there was a writer to use for a second, and the statements that had
	// waited for it were answered. It has a goroutine of its own, and may be called while
	// SnapshotChanged is.
	IncidentEnded func(failover.Incident)
}

// WithLogger sets the logger. Default: slog.Default() as of the time of the message.
// Statements and passwords are never logged.
func WithLogger(l *slog.Logger) Option { return func(o *options) { o.logger = l } }

// WithTracerProvider makes one span per statement. Default: none, so that nothing is
// added to a statement's path.
func WithTracerProvider(p trace.TracerProvider) Option { return func(o *options) { o.tracer = p } }

// WithMeterProvider sets where metrics go. Default: otel.GetMeterProvider().
func WithMeterProvider(p metric.MeterProvider) Option { return func(o *options) { o.meter = p } }

// WithDialer sets how network connections are opened, in place of net.Dialer, of the
// wrapped driver's Config.DialFunc and of networks registered with
// mysql.RegisterDialContext. It must honour ctx and is called concurrently.
func WithDialer(dial func(ctx context.Context, network, addr string) (net.Conn, error)) Option {
	return func(o *options) { o.dial = dial }
}

// WithHooks sets the hooks.
func WithHooks(h Hooks) Option { return func(o *options) { o.hooks = h } }
