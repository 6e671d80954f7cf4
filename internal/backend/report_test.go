package backend

import (
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"

	"github.com/failoverproxy/failoverproxy/internal/testutil/fakemysql"
	protocol "github.com/failoverproxy/failoverproxy/internal/testutil/wire"
)

// TestReported: what a server reports of session state is read from the packet that the
// wrapped driver has read already.
func TestOnlyTransaction(t *testing.T) {
	state := protocol.Track{Type: protocol.TrackStateChange, Value: "1"}
	transaction := protocol.Track{Type: protocol.TrackTransaction, Value: "T_______"}
	for name, test := range map[string]struct {
		result fakemysql.Result
		want   bool
	}{
		"transaction":                          {fakemysql.Result{Track: []protocol.Track{transaction}}, true},
		"transaction and its characteristics":  {fakemysql.Result{Track: []protocol.Track{transaction, {Type: protocol.TrackCharacteristics, Value: "START TRANSACTION;"}}}, true},
		"GTIDs":                                {fakemysql.Result{Track: []protocol.Track{{Type: protocol.TrackGTIDs, Value: strings.Repeat("3E11FA47-71CA-11E1-9E33-C80AA9429562:23,", 9)}}}, true},
		"state":                                {fakemysql.Result{Track: []protocol.Track{state}}, false},
		"state before a transaction":           {fakemysql.Result{Track: []protocol.Track{state, transaction}}, false},
		"state after a transaction":            {fakemysql.Result{Track: []protocol.Track{transaction, state}}, false},
		"a variable":                           {fakemysql.Result{Track: []protocol.Track{transaction, {Type: protocol.TrackSystemVariable, Name: "time_zone", Value: "+01:00"}}}, false},
		"a schema":                             {fakemysql.Result{Track: []protocol.Track{{Type: protocol.TrackSchema, Value: "shop"}}}, false},
		"a kind of the future":                 {fakemysql.Result{Track: []protocol.Track{{Type: 9, Value: "x"}}}, false},
		"large numbers and a long text before": {fakemysql.Result{Affected: 1 << 40, InsertID: 70_000, Info: strings.Repeat("i", 300), Track: []protocol.Track{transaction}}, true},
		"more than is looked for":              {fakemysql.Result{Info: strings.Repeat("i", 2000), Track: []protocol.Track{transaction}}, false},
		"a flag without a report":              {fakemysql.Result{Status: protocol.StatusAutocommit | protocol.StatusSessionStateChanged}, true},
		"nothing reported":                     {fakemysql.Result{}, false},
		"rows":                                 {fakemysql.Result{Columns: []fakemysql.Column{fakemysql.Int("n")}, Rows: [][]any{{int64(1)}}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			script := fakemysql.NewScript().On("CALL p()", test.result).On("DO 1")
			server := fakemysql.New(fakemysql.Config{Users: map[string]string{"u": "p"}, Handler: script})
			defer server.Close()
			my := mysql.NewConfig()
			my.User, my.Passwd, my.Net = "u", "p", "tcp"
			b := connect(t, NewDialer(Config{MySQL: my, Dial: server.Dial, Logger: &mysql.NopLogger{}}))
			exec(t, b, "DO 1")
			exec(t, b, "CALL p()")
			if state, known := b.Reported(); state == test.want || test.want && !known {
				t.Errorf("%v, %v, flags %x, packet %q", state, known, b.Status(), b.reader.lastOK())
			}
			b.reader = reader{}
			if state, known := b.Reported(); !state || known {
				t.Error("told without a buffer")
			}
		})
	}
}
