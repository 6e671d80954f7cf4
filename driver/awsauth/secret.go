package awsauth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/failoverproxy/failoverproxy/driver"
	"github.com/failoverproxy/failoverproxy/topology"
)

var _ driver.CredentialsRefresher = (*SecretProvider)(nil)

// SecretConfig says which secret [Secret] reads.
type SecretConfig struct {
	// ID is the secret's name or ARN. It must be given. The secret is JSON as RDS writes
	// it, of which username and password are used: host, port and the rest are the DSN's.
	ID string
	// Region is where the secret is. "" = that of the ARN, else that of AWS.
	Region string
	// Stage is the label of the version to use. "" = AWSCURRENT, and for a server that
	// refuses it AWSPENDING and AWSPREVIOUS, see [Secret]; another one is used alone.
	Stage string
	// TTL is how long a value is used before Secrets Manager is asked again, which it is
	// at once after a server refused it. 0 = one hour.
	TTL time.Duration
	// AWS is the SDK's configuration, of which BaseEndpoint, HTTPClient and the Retryer are
	// used, too. nil = config.LoadDefaultConfig at the first connect.
	AWS *aws.Config
	// Logger gets a warning when Secrets Manager cannot be asked and an older value
	// is used. nil = slog.Default() as of then.
	Logger *slog.Logger
}

// String names the secret. It keeps the keys that may be in AWS out of what is printed.
func (c SecretConfig) String() string { return fmt.Sprintf("secret %q", c.ID) }

const (
	defaultTTL = time.Hour
	// patience is how long Secrets Manager may take where there is an older value.
	patience = 2 * time.Second
	// interim is for how long a value is used that is not the one that should be: an older
	// one while Secrets Manager cannot be asked, another version for a server that
	// refuses the current one. And for so long a version is taken for refused.
	interim = 30 * time.Second
)

// The labels of a rotation. https://docs.aws.amazon.com/secretsmanager/latest/userguide/whats-in-a-secret.html
const (
	stageCurrent  = "AWSCURRENT"
	stagePending  = "AWSPENDING"
	stagePrevious = "AWSPREVIOUS"
)

// SecretProvider reads user and password from Secrets Manager. It is safe for concurrent
// use, and keeps what it has read.
type SecretProvider struct{ secret *secret }

// secret is behind a pointer, so that %+v of a provider ends there.
type secret struct {
	cfg     SecretConfig
	account *account
	turn    chan struct{} // whoever asks Secrets Manager holds it

	mu     sync.Mutex
	client *secretsmanager.Client
	kept   map[string]held       // by stage
	given  map[string]*value     // what each address got last
	denied map[refusal]time.Time // until when
	counts SecretStats
}

// held is what is known of a stage. Its times have no monotonic clock, which stands still
// while a machine is frozen.
type held struct {
	value  *value    // nil: there is no such version
	asked  time.Time // when the call for it began
	due    time.Time // when to ask again
	expiry time.Time // for the driver, which renews ahead of it
}

// ahead is how long before its expiry a value is asked for again: as long as the driver
// calls ahead, so that such a call is worth something.
func ahead(ttl time.Duration) time.Duration { return min(ttl/5, 5*time.Minute) }

func now() time.Time { return time.Now().Round(0) }

func (h held) lasting(from time.Time, ttl time.Duration) held {
	h.due, h.expiry = from.Add(ttl-ahead(ttl)), from.Add(ttl)
	return h
}

// refusal is a server's verdict about a version.
type refusal struct{ addr, version string }

// SecretStats counts what a [SecretProvider] did.
type SecretStats struct {
	Calls    uint64 // of GetSecretValue, without the SDK's retries
	Failures uint64 // of these that got no value, absent stages apart
	Changes  uint64 // versions seen for the first time, and parsed
	Stale    uint64 // answers with an older value, for want of a newer one
	Fallback uint64 // answers with AWSPENDING or AWSPREVIOUS
}

// Secret returns a provider of the user and the password in a secret of Secrets Manager.
// What is wrong with c is an error of the first connect.
//
// All instances have one secret, which is read once in a TTL. If Secrets Manager cannot
// be asked then, the older value goes on being used; that the secret is gone or may
// not be read any more is an error.
//
// A server that refuses AWSCURRENT knows the next version already or not yet: a
// rotation that changes the password of a user does so before it moves the label, and
// a reader learns of it later than the writer. So if the value that it
// refused is AWSCURRENT still, it is offered AWSPENDING, and then AWSPREVIOUS, for 30 seconds.
func Secret(c SecretConfig) *SecretProvider {
	if c.TTL <= 0 {
		c.TTL = defaultTTL
	}
	return &SecretProvider{&secret{
		cfg: c, account: newAccount(c.AWS), turn: make(chan struct{}, 1),
		kept: make(map[string]held), given: make(map[string]*value), denied: make(map[refusal]time.Time),
	}}
}

// String names the provider without any secret.
func (p *SecretProvider) String() string { return fmt.Sprintf("awsauth.Secret(%q)", p.secret.cfg.ID) }

// Stats returns what was counted so far.
func (p *SecretProvider) Stats() SecretStats {
	p.secret.mu.Lock()
	defer p.secret.mu.Unlock()
	return p.secret.counts
}

// Credentials returns the secret's user and password, from memory where they are not
// older than the TTL, which is when they expire.
func (p *SecretProvider) Credentials(ctx context.Context, instance topology.Instance) (user, password string, expiry time.Time, err error) {
	return p.secret.credentials(ctx, instance.Addr, false)
}

// Refresh asks Secrets Manager, and returns what the instance has not refused.
func (p *SecretProvider) Refresh(ctx context.Context, instance topology.Instance) (user, password string, expiry time.Time, err error) {
	p.secret.deny(instance.Addr)
	return p.secret.credentials(ctx, instance.Addr, true)
}

func (s *secret) credentials(ctx context.Context, addr string, force bool) (user, password string, expiry time.Time, err error) {
	v, expiry, err := s.choose(ctx, addr, force)
	if err != nil {
		return "", "", expiry, fail(fmt.Sprintf("no credentials from secret %q", s.cfg.ID), err, s.advice)
	}
	s.mu.Lock()
	s.given[addr] = v
	s.mu.Unlock()
	return v.user, v.password, expiry, nil
}

// choose finds the value for a server.
func (s *secret) choose(ctx context.Context, addr string, force bool) (*value, time.Time, error) {
	stage := s.cfg.Stage
	if stage == "" {
		stage = stageCurrent
	}
	h, err := s.read(ctx, stage, force)
	switch {
	case err != nil:
		return nil, time.Time{}, err
	case h.value == nil:
		return nil, time.Time{}, fmt.Errorf("it has no version with the label %s", stage)
	case s.cfg.Stage != "" || !s.isDenied(addr, h.value):
		return h.value, h.expiry, nil
	}
	for _, stage := range []string{stagePending, stagePrevious} {
		// That this cannot be read is no news: the current one could.
		other, err := s.read(ctx, stage, force)
		if err != nil || other.value == nil || s.isDenied(addr, other.value) {
			continue
		}
		until := now().Add(interim)
		s.mu.Lock()
		s.counts.Fallback++
		if h.due.After(until) { // by then the rotation may be over
			h.due = until
			s.kept[stageCurrent] = h
		}
		s.mu.Unlock()
		return other.value, until, nil
	}
	return h.value, h.expiry, nil // the server may have learnt of it since
}

// deny notes that the server at addr has refused what it was given last.
func (s *secret) deny(addr string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := now()
	for r, until := range s.denied {
		if !until.After(now) {
			delete(s.denied, r)
		}
	}
	if v := s.given[addr]; v != nil {
		s.denied[refusal{addr, v.version}] = now.Add(interim)
	}
}

func (s *secret) isDenied(addr string, v *value) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.denied[refusal{addr, v.version}].After(now())
}

// region is where to ask.
func (s *secret) region(cfg *aws.Config) (string, error) {
	region := s.cfg.Region
	if a, err := arn.Parse(s.cfg.ID); err == nil {
		switch {
		case a.Service != "secretsmanager":
			return "", fmt.Errorf("SecretConfig.ID is the ARN of something of %q, not of a secret", a.Service)
		case region == "":
			region = a.Region
		case region != a.Region:
			return "", fmt.Errorf("SecretConfig.Region is %q, but the ARN's is %q", region, a.Region)
		}
	}
	if region == "" {
		region = cfg.Region
	}
	if region == "" {
		return "", errors.New("SecretConfig.Region is empty, and neither the environment (AWS_REGION) nor the AWS configuration has a region")
	}
	if !regionForm.MatchString(region) {
		return "", fmt.Errorf("%q is not the name of a region, such as eu-west-1", region)
	}
	return region, nil
}

// advice says what to do about an error of AWS.
func (s *secret) advice(call, code string) string {
	switch {
	case call != "Secrets Manager GetSecretValue":
		return "" // it was for AWS credentials
	case strings.HasPrefix(code, "AccessDenied"):
		return "the role needs secretsmanager:GetSecretValue on it, and kms:Decrypt on its key if that is one of your own"
	case code == "ResourceNotFoundException":
		return "SecretConfig.ID is a secret's name or ARN, in the region that is asked"
	case code == "DecryptionFailure":
		return "the role needs kms:Decrypt on the secret's key"
	case expired[code]:
		return "the AWS credentials are not valid any more"
	case code == "InvalidSignatureException" || code == "SignatureDoesNotMatch":
		return "the secret access key is wrong, or this machine's clock is"
	}
	return ""
}
