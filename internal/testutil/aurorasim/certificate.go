package aurorasim

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"sync/atomic"
	"time"
)

// authority is a certificate authority that lives as long as its cluster.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	next atomic.Int64 // serial number
}

// validity is long enough for any run, and begins in the past for clocks that
// differ a little.
const validity = 365 * 24 * time.Hour

func newAuthority() (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("aurorasim: certificate authority: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(time.Now().UnixNano()),
		Subject:               pkix.Name{CommonName: "aurorasim test authority"},
		NotBefore:             time.Now().Add(-24 * time.Hour),
		NotAfter:              time.Now().Add(validity),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("aurorasim: certificate authority: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("aurorasim: certificate authority: %w", err)
	}
	return &authority{cert: cert, key: key}, nil
}

// issue makes a server's certificate for these names and addresses.
func (a *authority) issue(names []string, addrs ...net.IP) (*tls.Config, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("aurorasim: certificate of %v: %w", names, err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(a.next.Add(1)),
		Subject:      pkix.Name{CommonName: "aurorasim"},
		NotBefore:    a.cert.NotBefore,
		NotAfter:     a.cert.NotAfter,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:     names,
		IPAddresses:  addrs,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		return nil, fmt.Errorf("aurorasim: certificate of %v: %w", names, err)
	}
	return &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		MinVersion:   tls.VersionTLS12,
	}, nil
}

// Authority returns the test authority that signed the instances' certificates,
// for a client's tls.Config.RootCAs. It is nil without Config.TLS.
func (c *Cluster) Authority() *x509.CertPool {
	a := c.authority.Load()
	if a == nil {
		return nil
	}
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// AuthorityPEM is the authority's certificate for programs that want a file, nil
// without Config.TLS.
func (c *Cluster) AuthorityPEM() []byte {
	a := c.authority.Load()
	if a == nil {
		return nil
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

// Reissue gives the cluster a new test authority and all instances certificates by it,
// for connections from now on: the old authority's time has come.
func (c *Cluster) Reissue() error {
	a, err := newAuthority()
	if err != nil {
		return err
	}
	c.authority.Store(a)
	for _, i := range c.all() {
		if err := i.certify(); err != nil {
			return err
		}
	}
	return nil
}

// Certify gives the instance a certificate for these names and addresses only, from now
// on; with none that which it had at first.
func (i *Instance) Certify(names ...string) error {
	if len(names) == 0 {
		return i.certify()
	}
	var hosts []string
	var addrs []net.IP
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			addrs = append(addrs, ip)
		} else {
			hosts = append(hosts, name)
		}
	}
	return i.certifyAs(hosts, addrs)
}

// NoTLS lets the instance offer no TLS to connections from now on, until Certify.
func (i *Instance) NoTLS() { i.tls.Store(nil) }

// certify gives the instance a certificate for all of its names and addresses.
func (i *Instance) certify() error {
	c := i.cluster
	names := []string{i.host(), c.writerHost(), c.clusterHost("cluster-ro-"), "localhost"}
	return i.certifyAs(names, []net.IP{i.ip, net.IPv4(127, 0, 0, 1)})
}

func (i *Instance) certifyAs(names []string, addrs []net.IP) error {
	offer, err := i.cluster.authority.Load().issue(names, addrs...)
	if err != nil {
		return err
	}
	i.tls.Store(offer)
	return nil
}
