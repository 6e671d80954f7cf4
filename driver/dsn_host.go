package driver

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

const defaultPort = "3306"

// normalizeHosts checks hosts and returns them with their ports. An error names
// a host by its position and quotes nothing of it: in a malformed DSN what
// stands in a host's place may be a piece of the password.
func normalizeHosts(network string, hosts []string) ([]string, error) {
	if len(hosts) == 0 {
		switch network {
		case "tcp", "tcp4":
			return []string{"127.0.0.1:" + defaultPort}, nil
		case "unix":
			return []string{"/tmp/mysql.sock"}, nil
		}
		return nil, errors.New("there is no host and this network has no default one: write network(address), such as tcp(host:3306)")
	}
	normal := make([]string, 0, len(hosts))
	for i, host := range hosts {
		position := ""
		if len(hosts) > 1 {
			position = fmt.Sprintf(" %d of %d", i+1, len(hosts))
		}
		host, problem := normalizeHost(network, strings.TrimSpace(host))
		if problem != "" {
			return nil, errors.New("host" + position + ": " + problem)
		}
		if j := slices.IndexFunc(normal, func(s string) bool { return strings.EqualFold(s, host) }); j >= 0 && isTCP(network) {
			return nil, fmt.Errorf("host%s: it is the same as host %d", position, j+1)
		}
		normal = append(normal, host)
	}
	return normal, nil
}

func isTCP(network string) bool {
	return network == "tcp" || network == "tcp4" || network == "tcp6"
}

// notInHost reports what no address and no host name contains, on no network.
func notInHost(r rune) bool {
	return r == ',' || r == unicode.ReplacementChar || unicode.IsSpace(r) || !unicode.IsPrint(r)
}

// normalizeHost returns host in the form that it is dialled in, or what is wrong
// with it.
func normalizeHost(network, host string) (normal, problem string) {
	switch {
	case host == "":
		return "", "it is empty"
	case strings.ContainsFunc(host, func(r rune) bool { return notInHost(r) && (r != ' ' || isTCP(network)) }):
		return "", "it has a character that no address has (several hosts are separated by commas, in Config.Hosts they are elements)"
	case strings.Contains(host, ")/"):
		return "", "it has a closing parenthesis and a slash: a / in a parameter's value must be written %2F"
	case !isTCP(network):
		return host, "" // a path, or whatever a registered dialer understands
	}
	name, port, problem := splitHostPort(host)
	if problem != "" {
		return "", problem
	}
	if strings.ContainsAny(name, "/?#@()[]&=\\\"'<>") {
		return "", "it has a character that no host name has"
	}
	if strings.Contains(name, ":") {
		addr, err := netip.ParseAddr(name)
		if err != nil || !addr.Is6() {
			return "", "it is neither host:port nor an IPv6 address, which is written [::1]:3306"
		}
		name = addr.String() // one of its many forms, so that one server is one host
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return "", "its port is no number from 1 to 65535"
	}
	return net.JoinHostPort(name, strconv.FormatUint(n, 10)), ""
}

// splitHostPort takes host:port, [v6]:port, and both without a port; v6 without
// a port also without brackets.
func splitHostPort(host string) (name, port, problem string) {
	if rest, ok := strings.CutPrefix(host, "["); ok {
		name, port, ok = strings.Cut(rest, "]")
		if !ok || !strings.Contains(name, ":") {
			return "", "", "brackets are for an IPv6 address, which is written [::1]:3306"
		}
		if port == "" {
			return name, defaultPort, ""
		}
		if port, ok = strings.CutPrefix(port, ":"); !ok {
			return "", "", "between the closing bracket and the port there must be a colon"
		}
		return name, port, ""
	}
	if strings.Count(host, ":") > 1 {
		return host, defaultPort, ""
	}
	name, port, ok := strings.Cut(host, ":")
	if !ok {
		port = defaultPort
	}
	return name, port, ""
}
