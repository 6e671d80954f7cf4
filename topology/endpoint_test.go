package topology

import "testing"

func TestEndpoints(t *testing.T) {
	const (
		us    = "abc123.us-east-1.rds.amazonaws.com"
		gov   = "abc123.us-gov-west-1.rds.amazonaws.com"
		gov2  = "abc123.rds.us-gov-east-1.amazonaws.com"
		cn    = "abc123.rds.cn-north-1.amazonaws.com.cn"
		cnOld = "abc123.cn-northwest-1.rds.amazonaws.com.cn"
		fips  = "abc123.us-east-1.rds-fips.amazonaws.com"
		eu    = "abc123.eusc-de-east-1.rds.amazonaws.eu"
		iso   = "abc123.rds.us-iso-east-1.c2s.ic.gov"
		isob  = "abc123.rds.us-isob-east-1.sc2s.sgov.gov"
	)
	for domain, region := range map[string]string{
		us: "us-east-1", gov: "us-gov-west-1", gov2: "us-gov-east-1", cn: "cn-north-1", cnOld: "cn-northwest-1",
		fips: "us-east-1", eu: "eusc-de-east-1", iso: "us-iso-east-1", isob: "us-isob-east-1",
	} {
		for prefix, kind := range map[string]Endpoint{
			"prod.cluster-": EndpointCluster, "prod.cluster-ro-": EndpointReaders, "mine.cluster-custom-": EndpointCustom,
			"instance-1.": EndpointInstance, "p.proxy-": EndpointProxy, "Prod.Cluster-": EndpointCluster, "cluster-1.": EndpointInstance,
		} {
			pattern := "?." + domain
			if kind == EndpointProxy {
				pattern = ""
			}
			for host, addr := range map[string]string{
				prefix + domain: prefix + domain + ":3306", prefix + domain + ".": prefix + domain + ".",
			} {
				if got := EndpointOf(addr); got != kind {
					t.Errorf("EndpointOf(%q) = %s, want %s", addr, got, kind)
				}
				if got := instanceHost(host); got != pattern {
					t.Errorf("instanceHost(%q) = %q, want %q", host, got, pattern)
				}
				if got := RegionOf(addr); got != region {
					t.Errorf("RegionOf(%q) = %q, want %q", addr, got, region)
				}
			}
		}
	}
	if got := EndpointOf("g.global-abc.global.rds.amazonaws.com"); got != EndpointGlobal || instanceHost("g.global-abc.global.rds.amazonaws.com") != "" ||
		RegionOf("g.global-abc.global.rds.amazonaws.com:3306") != "" {
		t.Errorf("global database: %s", got)
	}
	for _, host := range []string{
		"db.example.com", "127.0.0.1", "::1", "", "rds.amazonaws.com", us, "a..us-east-1.rds.amazonaws.com", "prod.cluster-" + us + ".evil.example",
		"prod.cluster-.us-east-1.rds.amazonaws.com", "ec2-1-2-3-4.compute-1.amazonaws.com", "x.endpoint.proxy-" + us, "a.b." + us, "/tmp/mysql.sock",
		"[2001:db8::1]:3306", "a b." + us, "?." + us, ".amazonaws.com", "x.y.z.redshift.amazonaws.com",
	} {
		if kind, pattern := EndpointOf(host), instanceHost(host); kind != EndpointOther || pattern != "" || RegionOf(host) != "" {
			t.Errorf("%q: %s, %q", host, kind, pattern)
		}
	}
	for e := EndpointInstance; e <= EndpointGlobal; e++ {
		if e.String() == EndpointOther.String() {
			t.Errorf("kind %d has no name", e)
		}
	}
}
