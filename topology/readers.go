package topology

import "strings"

// IsReaderEndpoint reports whether a host's name has the form of an Aurora cluster's reader
// endpoint, which leads to readers only:
//
//	NAME.cluster-ro-ID.REGION.rds.amazonaws.com
func IsReaderEndpoint(host string) bool {
	_, rest, _ := strings.Cut(strings.ToLower(host), ".")
	return strings.HasPrefix(rest, "cluster-ro-") && instanceHost(host) != ""
}
