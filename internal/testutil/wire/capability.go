package wire

// Capability is the set of protocol features that a side offers (greeting) or
// accepts (handshake response). What holds is the intersection of the two.
type Capability uint32

// The capabilities of MySQL, and of MariaDB as far as they share the numbers.
// https://dev.mysql.com/doc/dev/mysql-server/latest/group__group__cs__capabilities__flags.html
const (
	// ClientMySQL (also LONG_PASSWORD) is always set by MySQL. A MariaDB
	// server leaves it out of its greeting to say that its extended
	// capabilities follow, see Greeting.Extended.
	ClientMySQL Capability = 1 << iota
	ClientFoundRows
	ClientLongFlag
	ClientConnectWithDB
	ClientNoSchema
	ClientCompress
	ClientODBC
	ClientLocalFiles
	ClientIgnoreSpace
	ClientProtocol41
	ClientInteractive
	ClientSSL
	ClientIgnoreSIGPIPE
	ClientTransactions
	ClientReserved
	ClientSecureConnection
	ClientMultiStatements
	ClientMultiResults
	ClientPSMultiResults
	ClientPluginAuth
	ClientConnectAttrs
	ClientPluginAuthLenEncData
	ClientCanHandleExpiredPasswords
	ClientSessionTrack // bit 23
	ClientDeprecateEOF
	ClientOptionalResultsetMetadata
	ClientZstdCompression
	ClientQueryAttributes
)

// Unfollowed is what Response and ParseCommand cannot follow, because it changes
// the framing or the shape of packets. A relay takes it out of the greeting.
const Unfollowed = ClientCompress | ClientZstdCompression |
	ClientOptionalResultsetMetadata | ClientQueryAttributes

// DefaultCapabilities is what a modern server offers and this package can do.
// TLS is not in it: that depends on whether there is a certificate.
const DefaultCapabilities = ClientMySQL | ClientFoundRows | ClientLongFlag |
	ClientConnectWithDB | ClientNoSchema | ClientODBC | ClientLocalFiles | ClientIgnoreSpace |
	ClientProtocol41 | ClientInteractive | ClientIgnoreSIGPIPE |
	ClientTransactions | ClientReserved | ClientSecureConnection |
	ClientMultiStatements | ClientMultiResults | ClientPSMultiResults |
	ClientPluginAuth | ClientConnectAttrs | ClientPluginAuthLenEncData |
	ClientCanHandleExpiredPasswords | ClientSessionTrack | ClientDeprecateEOF

// Has tells whether all of want are in c.
func (c Capability) Has(want Capability) bool { return c&want == want }

// Server status flags, as OK and EOF packets carry them.
// https://dev.mysql.com/doc/dev/mysql-server/latest/mysql__com_8h.html
const (
	StatusInTrans             uint16 = 0x0001
	StatusAutocommit          uint16 = 0x0002
	StatusMoreResults         uint16 = 0x0008
	StatusNoGoodIndexUsed     uint16 = 0x0010
	StatusNoIndexUsed         uint16 = 0x0020
	StatusCursorExists        uint16 = 0x0040
	StatusLastRowSent         uint16 = 0x0080
	StatusDBDropped           uint16 = 0x0100
	StatusNoBackslashEscapes  uint16 = 0x0200
	StatusMetadataChanged     uint16 = 0x0400
	StatusQueryWasSlow        uint16 = 0x0800
	StatusPSOutParams         uint16 = 0x1000
	StatusInTransReadonly     uint16 = 0x2000
	StatusSessionStateChanged uint16 = 0x4000
)

// Character sets (collations) that column definitions and greetings name most.
const (
	CharsetUTF8MB4 uint16 = 45 // utf8mb4_general_ci
	CharsetUTF8    uint16 = 33 // utf8_general_ci
	CharsetBinary  uint16 = 63
)

// The names of the authentication methods that servers ask for.
const (
	NativePassword      = "mysql_native_password"
	CachingSHA2Password = "caching_sha2_password"
	ClearPassword       = "mysql_clear_password"
)
