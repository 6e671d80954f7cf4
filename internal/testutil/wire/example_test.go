package wire_test

import (
	"bufio"
	"bytes"
	"fmt"

	"github.com/failoverproxy/failoverproxy/internal/testutil/wire"
)

// A relay follows the answer to a SELECT to its end.
func Example() {
	caps := wire.DefaultCapabilities
	columns := []wire.Column{{Name: "id", Type: wire.TypeLongLong}, {Name: "name", Type: wire.TypeVarString}}

	// What the server sends.
	var network bytes.Buffer
	seq := byte(1)
	send := func(payload []byte) {
		_ = wire.WritePacket(&network, wire.Packet{Seq: seq, Payload: payload})
		seq++
	}
	send(wire.AppendColumnCount(nil, len(columns)))
	for _, c := range columns {
		send(c.Append(nil))
	}
	row, _ := wire.AppendTextRow(nil, columns, []any{1, nil})
	send(row)
	send(wire.AppendEnd(nil, wire.OK{Status: wire.StatusAutocommit}, caps))

	// What the relay sees.
	r := bufio.NewReader(&network)
	response := wire.NewResponse(wire.ComQuery, caps)
	for !response.Done() {
		p, err := wire.ReadPacket(r, 0)
		if err != nil {
			fmt.Println(err)
			return
		}
		kind, err := response.Next(p.Payload)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(p.Seq, kind)
		if kind == wire.KindRow {
			row, _ := wire.ParseTextRow(p.Payload, response.Columns())
			fmt.Println(" ", row)
		}
	}
	// Output:
	// 1 column count
	// 2 column
	// 3 column
	// 4 row
	//   [1 <nil>]
	// 5 rows end
}
