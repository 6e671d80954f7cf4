package ledger_test

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/go-sql-driver/mysql"

	"github.com/failoverproxy/failoverproxy/internal/testutil/fakemysql"
	"github.com/failoverproxy/failoverproxy/internal/testutil/ledger"
	"github.com/failoverproxy/failoverproxy/internal/testutil/minidb"
)

// A load of three writes and two transfers is judged; then a write is done again behind
// the ledger's back.
func Example() {
	server := fakemysql.New(fakemysql.Config{Users: map[string]string{"u": "p"}, Handler: minidb.New()})
	defer server.Close()
	cfg := mysql.NewConfig()
	cfg.User, cfg.Passwd, cfg.DialFunc = "u", "p", server.Dial
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		fmt.Println(err)
		return
	}
	db := sql.OpenDB(connector)
	defer db.Close()

	ctx := context.Background()
	l := ledger.New()
	err = l.Setup(ctx, db)
	for range 3 {
		if err == nil {
			err = l.Write(ctx, db)
		}
	}
	for range 2 {
		if err == nil {
			err = l.Transfer(ctx, db)
		}
	}
	verdict, judgeErr := l.Judge(ctx, db)
	fmt.Println(err, judgeErr, verdict.OK())
	fmt.Println(verdict)

	_, err = db.ExecContext(ctx, ledger.InsertEntry, 1, 2)
	verdict, judgeErr = l.Judge(ctx, db)
	fmt.Println(err, judgeErr, verdict.OK())
	fmt.Println(verdict)
	// Output:
	// <nil> <nil> true
	// kept: 5 acknowledged, 0 not executed, 0 in doubt (0 of them were executed)
	// <nil> <nil> false
	// VIOLATED: 5 acknowledged, 0 not executed, 0 in doubt (0 of them were executed)
	//   executed more than once: 1 (write 2)
}
