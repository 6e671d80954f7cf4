package topology

import (
	"net"
	"slices"
	"strings"
)

// Endpoint is what a host name of AWS stands for, by its form.
type Endpoint uint8

// The zero value is any other name or address: a domain of one's own, which may stand
// for any of the others.
const (
	EndpointOther    Endpoint = iota
	EndpointInstance          // one instance
	EndpointCluster           // the cluster's writer, after a while of DNS
	EndpointReaders           // the cluster's readers in turn; the writer if it has none
	EndpointCustom            // the instances of a list that somebody made
	EndpointProxy             // RDS Proxy: what is behind it cannot be seen
	EndpointGlobal            // the writer of a global database, in whatever region
)

// String names the kind for messages.
func (e Endpoint) String() string {
	switch e {
	case EndpointInstance:
		return "instance endpoint"
	case EndpointCluster:
		return "cluster endpoint"
	case EndpointReaders:
		return "reader endpoint"
	case EndpointCustom:
		return "custom endpoint"
	case EndpointProxy:
		return "proxy endpoint"
	case EndpointGlobal:
		return "global endpoint"
	default:
		return "host"
	}
}

// EndpointOf tells what an address, with or without a port, stands for. It asks nobody.
func EndpointOf(addr string) Endpoint {
	if host, _, err := net.SplitHostPort(addr); err == nil {
		addr = host
	}
	kind, _, _ := dissect(addr)
	return kind
}

// RegionOf returns the AWS region that is part of the name of an address, with or without
// a port: "eu-west-1". "" if it is no name of RDS, or that of a global database, which
// has none. It asks nobody.
func RegionOf(addr string) string {
	if host, _, err := net.SplitHostPort(addr); err == nil {
		addr = host
	}
	_, region, _ := dissect(addr)
	return region
}

// endpointKinds are the prefixes of the label that identifies an account in a region.
var endpointKinds = []struct {
	prefix string
	kind   Endpoint
}{
	{"cluster-ro-", EndpointReaders},
	{"cluster-custom-", EndpointCustom},
	{"cluster-", EndpointCluster},
	{"proxy-", EndpointProxy},
	{"global-", EndpointGlobal},
}

// partitions are what the names of AWS end with: elsewhere, in China, in isolated regions.
// GovCloud has the first.
var partitions = []string{
	".amazonaws.com", ".amazonaws.com.cn", ".amazonaws.eu", ".c2s.ic.gov", ".sc2s.sgov.gov",
}

// dissect takes a host name of AWS apart:
//
//	NAME.[cluster-|cluster-ro-|cluster-custom-|proxy-|global-]ID.REGION.rds.PARTITION
//	NAME.[…]ID.rds.REGION.PARTITION (China, GovCloud)
//
// With FIPS it has rds-fips in place of rds. domain is what follows the name of an
// instance, "" if instances do not belong to the name.
func dissect(host string) (kind Endpoint, region, domain string) {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	i := slices.IndexFunc(partitions, func(p string) bool { return strings.HasSuffix(host, p) })
	if i < 0 {
		return EndpointOther, "", ""
	}
	labels := strings.Split(strings.TrimSuffix(host, partitions[i]), ".")
	if len(labels) != 4 || !isRDS(labels[2]) && !isRDS(labels[3]) || slices.ContainsFunc(labels, func(l string) bool { return !validID(l) }) {
		return EndpointOther, "", ""
	}
	kind = EndpointInstance
	for _, k := range endpointKinds {
		if id, found := strings.CutPrefix(labels[1], k.prefix); found {
			kind, labels[1] = k.kind, id
			break
		}
	}
	if kind == EndpointGlobal {
		return kind, "", ""
	}
	if region = labels[2]; isRDS(region) {
		region = labels[3]
	}
	if kind == EndpointProxy {
		return kind, region, ""
	}
	return kind, region, strings.Join(labels[1:], ".") + partitions[i]
}

func isRDS(label string) bool { return label == "rds" || label == "rds-fips" }

// instanceHost derives the pattern of instances' host names from an endpoint of AWS. "" if
// host is none, or instances do not belong to it.
func instanceHost(host string) string {
	_, _, domain := dissect(host)
	if domain == "" {
		return ""
	}
	return "?." + domain
}
