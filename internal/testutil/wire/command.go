package wire

import (
	"encoding/binary"
	"fmt"
)

// Command is the first byte of a client's packet after the handshake.
type Command byte

// The commands of the text and binary protocol. Those that replication uses
// have names only, for logs.
const (
	ComSleep            Command = 0x00
	ComQuit             Command = 0x01
	ComInitDB           Command = 0x02
	ComQuery            Command = 0x03
	ComFieldList        Command = 0x04
	ComCreateDB         Command = 0x05
	ComDropDB           Command = 0x06
	ComRefresh          Command = 0x07
	ComShutdown         Command = 0x08
	ComStatistics       Command = 0x09
	ComProcessInfo      Command = 0x0a
	ComConnect          Command = 0x0b
	ComProcessKill      Command = 0x0c
	ComDebug            Command = 0x0d
	ComPing             Command = 0x0e
	ComChangeUser       Command = 0x11
	ComBinlogDump       Command = 0x12
	ComRegisterReplica  Command = 0x15
	ComStmtPrepare      Command = 0x16
	ComStmtExecute      Command = 0x17
	ComStmtSendLongData Command = 0x18
	ComStmtClose        Command = 0x19
	ComStmtReset        Command = 0x1a
	ComSetOption        Command = 0x1b
	ComStmtFetch        Command = 0x1c
	ComBinlogDumpGTID   Command = 0x1e
	ComResetConnection  Command = 0x1f
)

var commandNames = map[Command]string{
	ComSleep: "Sleep", ComQuit: "Quit", ComInitDB: "Init DB", ComQuery: "Query",
	ComFieldList: "Field List", ComCreateDB: "Create DB", ComDropDB: "Drop DB",
	ComRefresh: "Refresh", ComShutdown: "Shutdown", ComStatistics: "Statistics",
	ComProcessInfo: "Processlist", ComConnect: "Connect", ComProcessKill: "Kill",
	ComDebug: "Debug", ComPing: "Ping", ComChangeUser: "Change user",
	ComBinlogDump: "Binlog Dump", ComRegisterReplica: "Register Replica",
	ComStmtPrepare: "Prepare", ComStmtExecute: "Execute",
	ComStmtSendLongData: "Long Data", ComStmtClose: "Close stmt",
	ComStmtReset: "Reset stmt", ComSetOption: "Set option", ComStmtFetch: "Fetch",
	ComBinlogDumpGTID: "Binlog Dump GTID", ComResetConnection: "Reset Connection",
}

// String is the command's name as SHOW PROCESSLIST has it.
func (c Command) String() string {
	if name, ok := commandNames[c]; ok {
		return name
	}
	return fmt.Sprintf("Command %#02x", byte(c))
}

// Answered tells whether a server answers the command at all.
func (c Command) Answered() bool {
	return c != ComQuit && c != ComStmtClose && c != ComStmtSendLongData
}

// Request is a client's command: its first byte and the rest.
type Request struct {
	Command Command
	Data    []byte
}

// ParseCommand takes a client's packet apart. It must not be used on packets of
// the handshake, nor on the contents of a LOCAL INFILE.
func ParseCommand(payload []byte) (Request, error) {
	if len(payload) == 0 {
		return Request{}, fmt.Errorf("%w: command: empty", ErrMalformed)
	}
	return Request{Command: Command(payload[0]), Data: payload[1:]}, nil
}

// Append appends the request's payload to dst.
func (r Request) Append(dst []byte) []byte {
	return append(append(dst, byte(r.Command)), r.Data...)
}

// Text is the SQL of a COM_QUERY or COM_STMT_PREPARE, the schema of a
// COM_INIT_DB, and empty for every other command.
func (r Request) Text() string {
	switch r.Command {
	case ComQuery, ComStmtPrepare, ComInitDB:
		return string(r.Data)
	default:
		return ""
	}
}

// ID is the number of the statement that a COM_STMT_EXECUTE, SEND_LONG_DATA,
// CLOSE, RESET or FETCH is about, or of the connection that a COM_PROCESS_KILL
// is about. It is 0 for every other command and for one that is cut short.
func (r Request) ID() uint32 {
	switch r.Command {
	case ComStmtExecute, ComStmtSendLongData, ComStmtClose, ComStmtReset, ComStmtFetch, ComProcessKill:
		if len(r.Data) >= 4 {
			return binary.LittleEndian.Uint32(r.Data)
		}
	default:
	}
	return 0
}
