package topology_test

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/failoverproxy/failoverproxy/topology"
)

// Two plain servers, of which the first is the writer. It is doubted, and answers.
func Example() {
	done := make(chan struct{})
	m, err := topology.NewMonitor(topology.Config{
		Provider: "static",
		Seeds:    []string{"db1:3306", "db2:3306"},
		Dial:     func(_ context.Context, addr string) (topology.Conn, error) { return connect(addr) },
		Logger:   slog.New(slog.DiscardHandler),
		Hooks: topology.Hooks{SnapshotChanged: func(_, s *topology.Snapshot, events []topology.Event) {
			for _, e := range events {
				if e.Kind == topology.WriterLost || e.Kind == topology.WriterBack {
					fmt.Println(e)
				}
				if e.Kind == topology.WriterBack {
					close(done)
				}
			}
		}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer m.Close()

	s, err := m.Discover(context.Background())
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(s.Writer().ID, "is the", s.Writer().Role)

	m.Suspect(s.Writer().ID, s.Epoch, topology.ReasonConnectionLost)
	<-done
	fmt.Println("epoch", m.Snapshot().Epoch)
	// Output:
	// db1:3306 is the writer
	// writer lost: db1:3306
	// writer back: db1:3306
	// epoch 1
}

// connect would be the wrapped driver's connector.
func connect(addr string) (topology.Conn, error) {
	if addr != "db1:3306" && addr != "db2:3306" {
		return nil, errors.New("no such host")
	}
	return writable{}, nil
}

// writable answers every question like a server that takes writes.
type writable struct{}

func (writable) QueryContext(context.Context, string, []driver.NamedValue) (driver.Rows, error) {
	return &zeros{}, nil
}
func (writable) Close() error { return nil }

type zeros struct{ read bool }

func (*zeros) Columns() []string { return []string{"@@global.read_only", "@@global.innodb_read_only"} }
func (*zeros) Close() error      { return nil }
func (z *zeros) Next(dest []driver.Value) error {
	if z.read {
		return io.EOF
	}
	z.read = true
	dest[0], dest[1] = int64(0), int64(0)
	return nil
}
