package driver

import (
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/go-sql-driver/mysql"

	"github.com/failoverproxy/failoverproxy/topology"
)

// ParseDSN reads a data source name:
//
//	[user[:password]@][network[(host[:port][,host2[:port2]...])]]/[database][?param=value&...]
//
// It is the wrapped driver's form and takes all of its parameters, with two
// additions: several hosts, and parameters that begin with fp, which are
// [Config]'s fields with that prefix (fpPoolSize is PoolSize).
//
// Values are escaped as in a URL's query (url.QueryEscape); user and password
// are not: the password ends at the last @ before the last slash and may
// contain anything. A % that ends a value needs no escape (fpPoolMaxIdle=100%).
//
// An error names the parameter, what was given and what is accepted. It never
// contains the password, however malformed the DSN is: it quotes nothing of
// what stands before the last slash.
func ParseDSN(dsn string) (*Config, error) {
	p, err := splitDSN(dsn)
	if err != nil {
		return nil, err
	}
	c := NewConfig()
	if err := c.parse(p); err != nil {
		// An @ behind the last slash: perhaps the password has a slash and what
		// we take for parameters is its second half.
		return nil, withhold(err, p.password, strings.Contains(p.database+p.params, "@"))
	}
	return c, nil
}

// dsnParts are the parts of a DSN, all but the database as they are written.
type dsnParts struct{ user, password, network, addr, database, params string }

var (
	errDSNEmpty    = &dsnError{problem: "the DSN is empty: want user:password@tcp(host:3306)/database"}
	errDSNNoSlash  = &dsnError{problem: "the DSN has no slash before the database's name: want user:password@tcp(host:3306)/database"}
	errDSNNetwork  = &dsnError{problem: "the DSN must be user:password@network(address)/database: between the last @ and the last / there is no network(address) such as tcp(host:3306); a / in a parameter's value must be written %2F"}
	errDSNDatabase = &dsnError{problem: "the database's name is not validly escaped: a % in it must be written %25"}
)

// splitDSN divides dsn where the wrapped driver does, so that whatever works
// there means the same here. Its errors quote nothing.
func splitDSN(dsn string) (p dsnParts, err error) {
	if strings.TrimSpace(dsn) == "" {
		return p, errDSNEmpty
	}
	slash := strings.LastIndexByte(dsn, '/')
	if slash < 0 {
		return p, errDSNNoSlash
	}
	left := dsn[:slash]
	if at := strings.LastIndexByte(left, '@'); at >= 0 {
		p.user, p.password, _ = strings.Cut(left[:at], ":")
		left = left[at+1:]
	}
	network, addr, hasAddr := strings.Cut(left, "(")
	if hasAddr {
		if p.addr, hasAddr = strings.CutSuffix(addr, ")"); !hasAddr {
			return p, errDSNNetwork
		}
	}
	if strings.ContainsFunc(network, notInNetwork) {
		return p, errDSNNetwork
	}
	p.network = network
	database, params, _ := strings.Cut(dsn[slash+1:], "?")
	if p.database, err = url.PathUnescape(database); err != nil {
		return p, errDSNDatabase
	}
	p.params = params
	return p, nil
}

// notInNetwork reports what a network's name cannot have. What has it is another
// part of a malformed DSN.
func notInNetwork(r rune) bool {
	return strings.ContainsRune(":/?&=(),@", r) || unicode.IsSpace(r) || unicode.IsControl(r)
}

// parse fills c, which has its defaults.
func (c *Config) parse(p dsnParts) error {
	c.Target = "" // until it is given, or the hosts say
	theirs, err := c.parseParams(p.params)
	if err != nil {
		return err
	}
	if c.MySQL, err = parseTheirs(theirs); err != nil {
		return err
	}
	c.MySQL.User, c.MySQL.Passwd = p.user, p.password
	c.MySQL.Net, c.MySQL.Addr = p.network, p.addr
	c.MySQL.DBName = p.database
	return c.normalize()
}

// parseParams sets what the fp parameters say and returns the others.
func (c *Config) parseParams(params string) (theirs []string, err error) {
	seen := make(map[string]bool)
	for param := range strings.SplitSeq(params, "&") {
		name, value, hasValue := strings.Cut(param, "=")
		if !isOurs(name) {
			theirs = append(theirs, param)
			continue
		}
		k := keyByName[name]
		switch {
		case k == nil:
			return nil, unknownKey(name)
		case !hasValue:
			return nil, &dsnError{key: name, problem: "it has no value: want " + k.want}
		case seen[name]:
			return nil, &dsnError{key: name, problem: "it is given twice"}
		}
		seen[name] = true
		text, err := unescape(value)
		if err != nil {
			return nil, &dsnError{key: name, given: value, problem: "not validly escaped: a % must be written %25"}
		}
		if err := k.parse(c, text); err != nil {
			return nil, err
		}
	}
	return theirs, nil
}

// isOurs reports whether a parameter would be one of ours if it were spelled
// correctly. None of the wrapped driver's and no system variable of MySQL or
// MariaDB begins so.
func isOurs(name string) bool {
	return len(name) >= 2 && strings.EqualFold(name[:2], "fp")
}

func unknownKey(name string) error {
	names := make([]string, len(keys))
	for i, k := range keys {
		names[i] = k.name
	}
	e := &dsnError{key: name, foreign: true, problem: "unknown parameter, did you mean " + nearest(name, names) + "?"}
	if slices.ContainsFunc(names, func(s string) bool { return strings.EqualFold(s, name) }) {
		e.problem += " Upper and lower case matter"
	}
	return e
}

// unescape is url.QueryUnescape, which the wrapped driver uses for its values,
// but lets a percentage be written 60%.
func unescape(s string) (string, error) {
	if digits, ok := strings.CutSuffix(s, "%"); ok {
		if _, ok := parseNumber(digits); ok {
			return s, nil
		}
	}
	return url.QueryUnescape(s)
}

// parseTheirs gives the wrapped driver its own parameters.
func parseTheirs(params []string) (*mysql.Config, error) {
	for _, param := range params {
		// mysql.ParseDSN panics.
		if name, _, ok := strings.Cut(param, "="); ok && name == "strict" {
			return nil, &dsnError{key: name, problem: "go-sql-driver/mysql does not have it any more: leave it out"}
		}
	}
	m, err := mysql.ParseDSN("/?" + strings.Join(params, "&"))
	if err != nil {
		return nil, blame(params, err)
	}
	// Once more, from its own writing: there values without effect, such as a
	// negative timeout, are gone, and equal settings are equal values.
	if m, err = mysql.ParseDSN(formatTheirs(m)); err != nil {
		return nil, blame(params, err)
	}
	m.TLS = nil // names the default address as the server; resolveTLS makes it anew
	return m, nil
}

// blame finds the parameter that err is about: the wrapped driver's errors do
// not name it.
func blame(params []string, err error) error {
	for _, param := range params {
		if _, err := mysql.ParseDSN("/?" + param); err != nil {
			name, value, _ := strings.Cut(param, "=")
			return &dsnError{key: name, foreign: true, given: value, problem: "go-sql-driver/mysql does not accept it", detail: err.Error()}
		}
	}
	return &dsnError{problem: "go-sql-driver/mysql does not accept the parameters", detail: err.Error()}
}

// formatTheirs writes the wrapped driver's parameters as "/?name=value&...".
func formatTheirs(m *mysql.Config) string {
	m = m.Clone()
	m.User, m.Passwd, m.Net, m.Addr, m.DBName = "", "", "", "", ""
	return m.FormatDSN()
}

// normalize fills in what is left out, brings what can be written in several
// ways into one, and refuses what is wrong. It is the only place that does: for
// [ParseDSN] as for a connector made of a Config that a program filled in. It
// changes c; its errors never contain the password.
func (c *Config) normalize() error {
	if c == nil {
		return &dsnError{problem: "there is no Config: start from driver.NewConfig or driver.ParseDSN"}
	}
	if c.MySQL == nil {
		c.MySQL = mysql.NewConfig()
	}
	return withhold(c.normalizeAll(), c.MySQL.Passwd, false)
}

func (c *Config) normalizeAll() error {
	if c.PoolSize == 0 && c.ConnectConcurrency == 0 && c.ProbeInterval == 0 {
		return &dsnError{problem: "the Config has no defaults: start from driver.NewConfig or driver.ParseDSN"}
	}
	m := c.MySQL
	if m.Net == "" {
		m.Net = "tcp"
	}
	if m.Loc == nil {
		m.Loc = time.UTC // with none the wrapped driver panics at the first time
	}
	hosts, err := normalizeHosts(m.Net, c.addresses())
	if err != nil {
		return &dsnError{problem: err.Error()}
	}
	if err := resolveTLS(m); err != nil {
		return err
	}
	if err := c.checkTLSCA(); err != nil {
		return err
	}
	if err := checkTheirs(m, hosts[0]); err != nil {
		return err
	}
	c.Hosts, m.Addr = hosts, ""
	if c.Target == "" {
		c.Target = c.usualTarget()
	}
	for i := range keys {
		if err := keys[i].check(c); err != nil {
			return err
		}
	}
	if c.InstanceHost != "" && isTCP(m.Net) {
		if _, problem := normalizeHost(m.Net, strings.Replace(c.InstanceHost, "?", "x", 1)); problem != "" {
			return &dsnError{key: "fpInstanceHost", given: c.InstanceHost, problem: problem}
		}
	}
	return c.conflict()
}

// addresses returns the hosts before they are normalized.
func (c *Config) addresses() []string {
	if len(c.Hosts) > 0 || c.MySQL.Addr == "" {
		return c.Hosts
	}
	return strings.Split(c.MySQL.Addr, ",")
}

// usualTarget is what fpTarget is if nobody says: who dials nothing but Aurora's reader endpoints
// wants readers.
func (c *Config) usualTarget() string {
	hosts := c.addresses()
	notReaders := func(host string) bool {
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		return topology.EndpointOf(host) != topology.EndpointReaders
	}
	if len(hosts) == 0 || slices.ContainsFunc(hosts, notReaders) {
		return keyByName["fpTarget"].def
	}
	return forReader
}

// checkTheirs refuses settings of the wrapped driver that do not go with us, and
// those that it would refuse itself at the first connection.
func checkTheirs(m *mysql.Config, host string) error {
	if m.RejectReadOnly {
		return &dsnError{key: "rejectReadOnly", given: "true", problem: "failoverproxy classifies read-only answers itself, so that a statement refused as read-only waits for the new writer: leave it out"}
	}
	for _, name := range slices.Sorted(maps.Keys(m.Params)) {
		if isOurs(name) {
			return &dsnError{key: name, foreign: true, problem: "it is in MySQL.Params, where it would become a SET statement: parse the DSN with failoverproxy's ParseDSN, or set the field of Config"}
		}
	}
	m = m.Clone()
	m.Addr = host
	if _, err := mysql.NewConnector(m); err != nil {
		return &dsnError{problem: "go-sql-driver/mysql does not accept the configuration", detail: err.Error()}
	}
	return nil
}

// resolveTLS sets TLS to what TLSConfig names, as the wrapped driver would do at
// every connect. The server's name that is to be verified stays empty, for each
// instance's own, unless the program itself has chosen one.
func resolveTLS(m *mysql.Config) error {
	switch {
	case m.TLS == nil && m.TLSConfig != "":
		const placeholder = "address.invalid"
		named, err := mysql.ParseDSN("tcp(" + placeholder + ":1)/?tls=" + url.QueryEscape(m.TLSConfig))
		if err != nil {
			return &dsnError{key: "tls", given: m.TLSConfig, problem: "go-sql-driver/mysql does not accept it", detail: err.Error()}
		}
		m.TLS = named.TLS
		m.AllowFallbackToPlaintext = m.AllowFallbackToPlaintext || named.AllowFallbackToPlaintext
		if m.TLS != nil && m.TLS.ServerName == placeholder {
			m.TLS.ServerName = ""
		}
	case m.TLS != nil && m.Addr != "":
		// mysql.ParseDSN has put the host of its Addr there.
		if host, _, err := net.SplitHostPort(m.Addr); err == nil && m.TLS.ServerName == host {
			m.TLS.ServerName = ""
		}
	}
	return nil
}

// checkTLSCA refuses what would have fpTLSCA verify nothing. Whether the file can be used
// is seen when a connector is made: a DSN can be parsed where there is no such file.
func (c *Config) checkTLSCA() error {
	m := c.MySQL
	e := &dsnError{key: "fpTLSCA", given: c.TLSCA}
	switch {
	case c.TLSCA == "":
		return nil
	case m.Net == "unix":
		e.problem = "it verifies host names, and a socket has none: leave it out"
	case m.TLSConfig == "false":
		e.problem = "it asks for TLS, and tls=false for none: leave one of them out"
	case m.TLS != nil && m.TLS.InsecureSkipVerify && m.TLSConfig == "":
		e.problem = "it verifies every server's certificate, and MySQL.TLS has InsecureSkipVerify: leave one of them out"
	case m.TLS != nil && m.TLS.InsecureSkipVerify:
		e.problem, e.detail = "it verifies every server's certificate, and the value of tls says not to: leave one of them out", "tls="+m.TLSConfig
	case m.AllowFallbackToPlaintext:
		e.problem = "it asks for TLS, and allowFallbackToPlaintext=true for none where the server has none: leave one of them out"
	default:
		return nil
	}
	return e
}

// FormatDSN returns the DSN that [ParseDSN] makes an equal Config of, the
// password included. What is at its default is left out. What no DSN can say is
// lost: the wrapped driver's functions, logger and TLS field, a user's name with
// a colon, a socket's path with an @.
func (c *Config) FormatDSN() string {
	if c.MySQL == nil {
		return c.format("")
	}
	return c.format(c.MySQL.Passwd)
}

func (c *Config) format(password string) string {
	c = c.Clone()
	if c.MySQL == nil {
		c.MySQL = mysql.NewConfig()
	}
	m := c.MySQL
	var b strings.Builder
	if m.User != "" || password != "" {
		b.WriteString(m.User)
		if password != "" {
			b.WriteString(":" + password)
		}
		b.WriteByte('@')
	}
	if m.Net == "" {
		m.Net = "tcp"
	}
	b.WriteString(m.Net)
	if hosts := c.addresses(); len(hosts) > 0 {
		fmt.Fprintf(&b, "(%s)", strings.Join(hosts, ","))
	}
	b.WriteString("/" + url.PathEscape(m.DBName))
	sep := "?"
	if theirs := strings.TrimPrefix(formatTheirs(m), "/"); theirs != "" {
		b.WriteString(theirs)
		sep = "&"
	}
	for i := range keys {
		k := &keys[i]
		usual := k.def
		if k.name == "fpTarget" {
			usual = c.usualTarget()
		}
		if s := k.get(c); s != usual && s != "" {
			b.WriteString(sep + k.name + "=" + url.QueryEscape(s))
			sep = "&"
		}
	}
	return b.String()
}
