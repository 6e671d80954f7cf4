// Package wire speaks the MySQL client/server protocol: it reads and writes
// packets, and parses and builds everything that goes into them between a
// client's connect and its last result. It knows nothing of sockets, SQL or
// servers; fakemysql (a server) and aurorasim (a relay) stand on it.
//
// # Packets
//
// A message of the protocol is a payload behind a header of four bytes: its
// length and a sequence id, which starts at 0 with each command and counts
// through the answer. A payload of 16 MiB or more travels in several frames.
// [ReadPacket] joins them, [AppendPacket] splits, and [Packet.Next] says which
// sequence id comes after.
//
// # Messages
//
// Every message is a struct with a parse function and an append method:
// [Greeting], [Handshake], [AuthSwitch], [OK], [Error], [EOF], [Column],
// [PrepareOK], [Execute], [LongData]. Rows are []any: [AppendTextRow],
// [AppendBinaryRow] and their parsers. What a message looks like depends on the
// capabilities that both sides agreed on, so most functions take a [Capability]:
// [Greeting.Capabilities] & [Handshake.Capabilities].
//
// # Following a connection
//
// A relay needs to know where an answer ends. [ParseCommand] tells what the
// client asked, and a [Response], fed the server's packets one after the other,
// says what each of them is and when the answer is complete, over multi-results,
// both row formats, prepare answers and both kinds of end-of-rows. It does not
// follow what [Unfollowed] lists: take these bits out of the server's greeting.
//
// Parse functions never panic on bad input: they return an error that wraps
// [ErrMalformed]. Payloads that they return share memory with their input.
// Values of this package are not safe for concurrent use.
//
// The protocol's documentation:
// https://dev.mysql.com/doc/dev/mysql-server/latest/PAGE_PROTOCOL.html and
// https://mariadb.com/kb/en/clientserver-protocol/.
package wire
