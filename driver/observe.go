package driver

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/failoverproxy/failoverproxy/failover"
	"github.com/failoverproxy/failoverproxy/internal/sqlscan"
)

// observation is the span and the duration of one statement, if anybody wants them.
// Its zero value observes nothing.
type observation struct {
	span  trace.Span
	start time.Time // zero: no duration wanted
}

// observe begins the observation of a statement. Without a tracer and a meter it is
// two comparisons.
func (t *telemetry) observe(ctx context.Context) (context.Context, observation) {
	var o observation
	if t.duration.Enabled(ctx) {
		o.start = time.Now()
	}
	if t.tracer != nil {
		ctx, o.span = t.tracer.Start(ctx, "statement", trace.WithSpanKind(trace.SpanKindClient))
	}
	return ctx, o
}

// done ends the observation of statement text, which ended with err.
func (t *telemetry) done(ctx context.Context, o observation, text string, x *exchange, err error) {
	if o.span == nil && o.start.IsZero() {
		return
	}
	digest := sqlscan.Digest(text, sqlscan.AnyMode)
	operation, _, _ := strings.Cut(digest, " ")
	attributes := append(make([]attribute.KeyValue, 0, 8),
		attribute.String("db.system.name", "mysql"), attribute.String("db.operation.name", operation))
	if t.database != "" {
		attributes = append(attributes, attribute.String("db.namespace", t.database))
	}
	if x.in != nil {
		attributes = append(attributes, serverAttributes(x.in.Addr)...)
	}
	if err != nil {
		attributes = append(attributes, attribute.String("error.type", errorType(err)))
		if number, ok := failover.Number(err); ok {
			attributes = append(attributes, attribute.String("db.response.status_code", fmt.Sprint(number)))
		}
	}
	if !o.start.IsZero() {
		t.duration.Record(ctx, time.Since(o.start).Seconds(), metric.WithAttributes(attributes...))
	}
	if o.span == nil {
		return
	}
	o.span.SetName(operation)
	o.span.SetAttributes(attributes...)
	o.span.SetAttributes(attribute.String("db.query.text", digest))
	if x.attempts > 1 {
		o.span.SetAttributes(attribute.Int("failoverproxy.attempts", x.attempts))
	}
	if err != nil {
		o.span.SetStatus(codes.Error, errorType(err))
	}
	o.span.End()
}

// errorType is an error's name of low cardinality. The text of a server's error may
// quote data and goes nowhere.
func errorType(err error) string {
	if fe, ok := errors.AsType[*failover.Error](err); ok {
		return fe.Kind.Error()
	}
	if number, ok := failover.Number(err); ok {
		return fmt.Sprint(number)
	}
	switch {
	case errors.Is(err, context.Canceled):
		return "context canceled"
	case errors.Is(err, context.DeadlineExceeded):
		return "context deadline exceeded"
	}
	return fmt.Sprintf("%T", err)
}
