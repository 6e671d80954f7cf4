package awsauth

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/feature/rds/auth"

	"github.com/failoverproxy/failoverproxy/driver"
	"github.com/failoverproxy/failoverproxy/topology"
)

var _ driver.TLSCredentials = (*IAMProvider)(nil)

// IAMConfig says for whom [IAM] makes tokens.
type IAMConfig struct {
	// User is the database user, CREATE USER … IDENTIFIED WITH AWSAuthenticationPlugin AS
	// 'RDS'. It must be given.
	User string
	// Region is the region of the instances. "" = the one in each instance's host name. One
	// that differs from that in the name is an error.
	Region string
	// Endpoints are the real names of instances that are connected to by another: a name
	// of one's own domain, a tunnel. A token is for the name that RDS itself has given the
	// instance or endpoint. Key and value are host or host:port; without a port in the
	// value it is the connection's. nil = all names in the DSN are those of RDS.
	Endpoints map[string]string
	// AWS is the SDK's configuration. nil = config.LoadDefaultConfig at the first token:
	// environment, shared files, the role of the container, function or machine.
	AWS *aws.Config
}

// String names the user. It keeps the keys that may be in AWS out of what is printed.
func (c IAMConfig) String() string { return fmt.Sprintf("IAM user %q", c.User) }

// A token can be used for 15 minutes after it was signed, for which the SDK asks, by the
// clock of RDS. margin is what ours may be off by.
const (
	tokenLife = 15 * time.Minute
	margin    = time.Minute
)

// defaultPort is the port of an address that has none, as in a DSN.
const defaultPort = "3306"

// IAMProvider makes IAM tokens. It is safe for concurrent use.
type IAMProvider struct{ iam *iam }

// iam is behind a pointer, so that %+v of a provider ends there.
type iam struct {
	cfg     IAMConfig
	known   map[string]string // Endpoints, in small letters
	account *account
}

// IAM returns a provider of IAM tokens in place of a password: for each instance one
// that is signed for its host and port. Signing asks nobody; only the AWS credentials for
// it may have to be fetched, which the SDK keeps. What is wrong with c is an error of
// the first connect.
//
// NewConnector refuses a configuration that could connect without TLS. Have the certificate
// verified, too (fpTLSCA, tls=true): whoever gets a token can log in with it for 15 minutes.
func IAM(c IAMConfig) *IAMProvider {
	known := make(map[string]string, len(c.Endpoints))
	for name, endpoint := range c.Endpoints {
		known[canonical(name)] = canonical(endpoint)
	}
	return &IAMProvider{&iam{cfg: c, known: known, account: newAccount(c.AWS)}}
}

// RequiresTLS returns true: a token goes over the wire as it is.
func (p *IAMProvider) RequiresTLS() bool { return true }

// String names the provider without any secret.
func (p *IAMProvider) String() string { return fmt.Sprintf("awsauth.IAM(%q)", p.iam.cfg.User) }

// Credentials returns the user and a token for the instance. It expires a minute before
// RDS would refuse it, or with the AWS credentials that it was signed with.
func (p *IAMProvider) Credentials(ctx context.Context, instance topology.Instance) (user, token string, expiry time.Time, err error) {
	user = p.iam.cfg.User
	token, expiry, err = p.iam.token(ctx, instance.Addr)
	if err != nil {
		return "", "", time.Time{}, fail(fmt.Sprintf("no IAM token for user %q at %s", user, instance.Addr), err, nil)
	}
	return user, token, expiry, nil
}

func (i *iam) token(ctx context.Context, addr string) (token string, expiry time.Time, err error) {
	if i.cfg.User == "" {
		return "", expiry, errors.New("IAMConfig.User is empty")
	}
	endpoint, region, err := i.target(addr)
	if err != nil {
		return "", expiry, err
	}
	cfg, err := i.account.config(ctx)
	if err != nil {
		return "", expiry, fail("AWS configuration", err, nil)
	}
	keys, err := cfg.Credentials.Retrieve(ctx)
	switch now := time.Now(); {
	case err != nil:
		return "", expiry, fail("AWS credentials", err, nil)
	case !keys.HasKeys():
		return "", expiry, errors.New("AWS credentials: there is no access key")
	case keys.CanExpire && !keys.Expires.After(now):
		return "", expiry, fmt.Errorf("AWS credentials: they expired at %s and were not renewed", keys.Expires.UTC().Format(time.RFC3339))
	default:
		expiry = now.Add(tokenLife - margin)
	}
	if keys.CanExpire && keys.Expires.Before(expiry) {
		expiry = keys.Expires // a token is worth nothing without them
	}
	// The same credentials, whose expiry is known, and not those of another call.
	signer := credentials.StaticCredentialsProvider{Value: keys}
	token, err = auth.BuildAuthToken(ctx, endpoint, region, i.cfg.User, signer)
	return token, expiry, err
}

// target is what a token for the instance at addr has to be signed for.
func (i *iam) target(addr string) (endpoint, region string, err error) {
	if strings.Contains(addr, "/") {
		return "", "", errors.New("a socket has no host name that a token could be for")
	}
	host, port := split(canonical(addr))
	real, mapped := i.known[net.JoinHostPort(host, port)]
	if !mapped {
		real, mapped = i.known[host]
	}
	if mapped {
		// The port that is connected to may be a tunnel's, but only Endpoints could tell.
		given := port
		if host, port = split(real); !strings.Contains(real, ":") {
			port = given
		}
	}
	kind, derived := topology.EndpointOf(host), topology.RegionOf(host)
	region = i.cfg.Region
	switch {
	case kind == topology.EndpointOther && !mapped:
		return "", "", errors.New("the host is no name of RDS, which a token has to be signed for: say in IAMConfig.Endpoints what it stands for")
	case region == "" && derived == "":
		return "", "", fmt.Errorf("the name %s does not tell its region: set IAMConfig.Region", host)
	case region == "":
		region = derived
	case derived != "" && derived != region:
		return "", "", fmt.Errorf("IAMConfig.Region is %q, but %s is in %q", region, host, derived)
	}
	if !regionForm.MatchString(region) {
		return "", "", fmt.Errorf("%q is not the name of a region, such as eu-west-1", region)
	}
	return net.JoinHostPort(host, port), region, nil
}

// canonical is a name as RDS knows it.
func canonical(addr string) string {
	addr = strings.ToLower(strings.TrimSpace(addr))
	if host, port, err := net.SplitHostPort(addr); err == nil {
		return net.JoinHostPort(strings.TrimSuffix(host, "."), port)
	}
	return strings.TrimSuffix(addr, ".")
}

func split(addr string) (host, port string) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return addr, defaultPort
	}
	return host, port
}
