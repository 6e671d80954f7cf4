package main

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
)

// A certificate that ends so soon deserves a word, or a louder one.
const (
	endsSoon = 30 * 24 * time.Hour
	endsNow  = 3 * 24 * time.Hour
)

// checkTLS looks at connections that were made. One that TLS prevented is in checkReach.
func checkTLS(f *facts) []finding {
	return f.each("tls", "", func(in *instance) []finding {
		switch {
		case !in.wanted && in.local():
			return []finding{{Level: ok, Text: "not used; the instance is on this machine"}}
		case !in.wanted:
			return []finding{{
				Level: warn, Text: "not used: whoever is on the way can read and change everything",
				Advice: "fpTLSCA=FILE with the certificate of who signs the servers', or tls=true; on RDS the file is global-bundle.pem",
			}}
		case in.tls == nil:
			return []finding{{Level: warn, Text: "not used: the server offers none, and tls=preferred does without", Advice: "turn TLS on at the server, then tls=true in the DSN"}}
		case len(in.tls.VerifiedChains) == 0:
			return []finding{{
				Level: warn, Text: shownVersion(in.tls) + ", not verified: anybody could be the server; its certificate is for " + names(in.tls.PeerCertificates),
				Advice: "fpTLSCA=FILE in place of tls=" + f.cfg.MySQL.TLSConfig,
			}}
		}
		return []finding{verified(in, f.now)}
	})
}

// verified looks at a connection with TLS whose certificate was found good.
func verified(in *instance, now time.Time) finding {
	end := lasts(in.tls.VerifiedChains)
	one := finding{Level: ok, Text: fmt.Sprintf("%s, verified for %s, until %s", shownVersion(in.tls), cmp.Or(in.tls.ServerName, in.host()), end.Format(time.DateOnly))}
	left := end.Sub(now)
	if left < endsSoon {
		one.Level, one.Advice = warn, "renew the certificate before"
		one.Text += fmt.Sprintf(", in %s", counted(int(left/(24*time.Hour)), "day"))
		if left < endsNow {
			one.Level = fail
		}
	}
	if in.tls.Version < tls.VersionTLS12 {
		one.Advice = "let the server offer TLS 1.2 or 1.3: tls_version"
		if one.Level == ok {
			one.Level = warn
		}
	}
	return one
}

func shownVersion(s *tls.ConnectionState) string { return tls.VersionName(s.Version) }

// lasts is how long the connection's certificates are good: the longest of the chains.
func lasts(chains [][]*x509.Certificate) (latest time.Time) {
	for _, chain := range chains {
		end := chain[0].NotAfter
		for _, c := range chain {
			if c.NotAfter.Before(end) {
				end = c.NotAfter
			}
		}
		if end.After(latest) {
			latest = end
		}
	}
	return latest
}

// names are whom a certificate is for.
func names(chain []*x509.Certificate) string {
	if len(chain) == 0 {
		return "nobody"
	}
	all := chain[0].DNSNames
	for _, ip := range chain[0].IPAddresses {
		all = append(all, ip.String())
	}
	if len(all) == 0 {
		return fmt.Sprintf("no name (%q)", chain[0].Subject.CommonName)
	}
	return oneLine(strings.Join(all, ", "))
}

// tlsRemedy is what helps where TLS is why there is no connection; "" where it is not.
func tlsRemedy(in *instance) string {
	if errors.Is(in.err, mysql.ErrNoTLS) {
		return "the server offers no TLS, though the DSN asks for it: turn it on there (ssl_cert, ssl_key); without it the driver does not use this instance"
	}
	bad, is := errors.AsType[*tls.CertificateVerificationError](in.err)
	if !is {
		return ""
	}
	if wrong, is := errors.AsType[x509.HostnameError](in.err); is {
		return fmt.Sprintf("its certificate is for %s, not for %s: give the server one for that name, or use the name that it is for, in the DSN or in fpInstanceHost",
			names(bad.UnverifiedCertificates), wrong.Host)
	}
	if _, is := errors.AsType[x509.UnknownAuthorityError](in.err); is {
		return "nobody who is trusted here has signed its certificate: fpTLSCA=FILE with the certificate of who has; on RDS that is global-bundle.pem"
	}
	if invalid, is := errors.AsType[x509.CertificateInvalidError](in.err); is && invalid.Reason == x509.Expired {
		return "its certificate has ended, or has not begun: renew it; or this machine's clock is wrong"
	}
	return "its certificate cannot be verified"
}
