package driver

import (
	"context"
	"database/sql"
	"net"
	"testing"

	"github.com/go-sql-driver/mysql"

	"github.com/failoverproxy/failoverproxy/internal/testutil/fakemysql"
)

// BenchmarkOverhead runs statements over a connection that costs nothing, so that the
// difference between the drivers is the CPU that ours adds to a statement: no server, no
// socket and no other goroutine is in the way.
func BenchmarkOverhead(b *testing.B) {
	replaying(b)
	ctx := context.Background()
	for name, run := range overheads {
		b.Run("statement="+name, func(b *testing.B) {
			for _, driver := range []string{"mysql", Name} {
				b.Run("driver="+driver, func(b *testing.B) {
					db := drivers[driver](b, freeOfCost[driver])
					defer db.Close()
					if err := db.PingContext(ctx); err != nil {
						b.Fatal(err)
					}
					b.ReportAllocs()
					run(b, db)
				})
			}
		})
	}
}

// freeOfCost are the DSNs of the connection that costs nothing.
var freeOfCost = map[string]string{"mysql": "u:secret@overhead(server:3306)/", Name: "u:secret@overhead(server:3306)/?fpTopology=static"}

// overheads are the statements.
var overheads = map[string]func(b *testing.B, db *sql.DB){
	"text": func(b *testing.B, db *sql.DB) {
		ctx := context.Background()
		for b.Loop() {
			one(b, db.QueryRowContext(ctx, "SELECT 1"))
		}
	},
	"prepared": func(b *testing.B, db *sql.DB) {
		ctx := context.Background()
		st, err := db.PrepareContext(ctx, "SELECT ?")
		if err != nil {
			b.Fatal(err)
		}
		defer st.Close()
		for b.Loop() {
			one(b, st.QueryRowContext(ctx, 1))
		}
	},
}

// replaying makes the connection that costs nothing.
func replaying(b *testing.B) {
	b.Helper()
	server := fakemysql.New(fakemysql.Config{
		Users: map[string]string{"u": "secret"},
		Handler: fakemysql.NewScript().
			On("SELECT ?", fakemysql.Result{Columns: []fakemysql.Column{fakemysql.Int("n")}, Rows: [][]any{{int64(1)}}}).
			On("SELECT @@global.read_only, @@global.innodb_read_only", fakemysql.Result{
				Columns: []fakemysql.Column{fakemysql.Int("r"), fakemysql.Int("i")}, Rows: [][]any{{int64(0), int64(0)}},
			}),
	})
	b.Cleanup(server.Close)
	mysql.RegisterDialContext("overhead", func(ctx context.Context, addr string) (net.Conn, error) {
		conn, err := server.Dial(ctx, "tcp", addr)
		return &replay{Conn: conn, answers: make(map[string][]byte)}, err
	})
	b.Cleanup(func() { mysql.DeregisterDialContext("overhead") })
}

// replay answers a statement that it has seen before with what the server said then.
type replay struct {
	net.Conn
	answers map[string][]byte // by packet
	asked   string            // whose answer is being read from the server
	answer  []byte            // the rest of the one that is being given
}

func (r *replay) Write(packet []byte) (int, error) {
	const header, query, execute = 4, 0x03, 0x17
	r.asked = ""
	if len(packet) > header && (packet[header] == query || packet[header] == execute) {
		if answer, ok := r.answers[string(packet)]; ok {
			r.answer = answer
			return len(packet), nil
		}
		r.asked = string(packet)
	}
	return r.Conn.Write(packet)
}

func (r *replay) Read(p []byte) (int, error) {
	if len(r.answer) > 0 {
		n := copy(p, r.answer)
		r.answer = r.answer[n:]
		return n, nil
	}
	n, err := r.Conn.Read(p)
	if r.asked != "" {
		r.answers[r.asked] = append(r.answers[r.asked], p[:n]...)
	}
	return n, err
}
