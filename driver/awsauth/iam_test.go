package awsauth

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/failoverproxy/failoverproxy/topology"
)

const (
	accessKey  = "AKIDEXAMPLE"
	secretKey  = "canary-secret/key+EXAMPLE"
	sessionKey = "canary/session+token=="
	instanceA  = "a.abc123.eu-west-1.rds.amazonaws.com"
)

// static is an AWS configuration with keys that do not change.
func static() *aws.Config {
	return &aws.Config{Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider(accessKey, secretKey, sessionKey)}
}

func at(addr string) topology.Instance { return topology.Instance{Addr: addr} }

func TestIAMToken(t *testing.T) {
	t.Run("signature", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			keys := map[string]key{accessKey: {secret: secretKey, session: sessionKey}}
			now := time.Now()
			for _, name := range []string{"app", "né w+user&x=1"} {
				p := IAM(IAMConfig{User: name, AWS: static()})
				user, token, expiry, err := p.Credentials(t.Context(), at(instanceA+":3307"))
				if err != nil || user != name || !expiry.Equal(now.Add(14*time.Minute)) {
					t.Fatalf("%q %s %v", user, expiry, err)
				}
				if !strings.HasPrefix(token, instanceA+":3307?Action=connect&DBUser=") {
					t.Errorf("the token is %s", token)
				}
				judge := func(hostPort, user string, keys map[string]key, now time.Time) error {
					return judgeToken(token, hostPort, "eu-west-1", user, keys, now)
				}
				if err := judge(instanceA+":3307", name, keys, now); err != nil {
					t.Errorf("%v: %s", err, token)
				}
				if err := judge(instanceA+":3307", name, keys, expiry); err != nil {
					t.Errorf("at its expiry: %v", err)
				}
				// The judge can convict.
				for want, err := range map[string]error{
					"host":    judge(instanceA+":3306", name, keys, now),
					"user":    judge(instanceA+":3307", "root", keys, now),
					"key":     judge(instanceA+":3307", name, map[string]key{accessKey: {secret: "other", session: sessionKey}}, now),
					"session": judge(instanceA+":3307", name, map[string]key{accessKey: {secret: secretKey}}, now),
				} {
					if !errors.Is(err, errSignature) {
						t.Errorf("another %s: %v", want, err)
					}
				}
				if err := judge(instanceA+":3307", name, keys, now.Add(16*time.Minute)); !errors.Is(err, errExpired) {
					t.Error(err)
				}
			}
		})
	})
	t.Run("AWS credentials that end sooner", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ends := time.Now().Add(5 * time.Minute)
			cfg := &aws.Config{Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
				return aws.Credentials{AccessKeyID: accessKey, SecretAccessKey: secretKey, CanExpire: true, Expires: ends}, nil
			})}
			p := IAM(IAMConfig{User: "app", AWS: cfg})
			if _, _, expiry, err := p.Credentials(t.Context(), at(instanceA+":3306")); err != nil || !expiry.Equal(ends) {
				t.Errorf("%s %v", expiry, err)
			}
			time.Sleep(5 * time.Minute)
			_, _, _, err := p.Credentials(t.Context(), at(instanceA+":3306"))
			wants(t, err, "expired at 2000-01-01T00:05:00Z", "IAM token", "app", instanceA)
			ends = time.Now().Add(time.Hour)
			if _, _, expiry, err := p.Credentials(t.Context(), at(instanceA+":3306")); err != nil || !expiry.Equal(time.Now().Add(14*time.Minute)) {
				t.Errorf("%s %v", expiry, err)
			}
		})
	})
}

// wants checks an error's text, and that no secret is in it.
func wants(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("no error, want %q", parts)
		return
	}
	for next := err; next != nil; next = errors.Unwrap(next) {
		for _, text := range []string{next.Error(), fmt.Sprintf("%+v", next), fmt.Sprintf("%#v", next)} {
			if strings.Contains(text, "canary") {
				t.Errorf("a secret in %s", text)
			}
		}
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q is not in: %v", part, err)
		}
	}
}

func TestIAMTarget(t *testing.T) {
	const china = "db.abc.rds.cn-north-1.amazonaws.com.cn"
	endpoints := map[string]string{
		"DB.example.com":  "mine.cluster-abc.eu-west-1.rds.amazonaws.com",
		"localhost:13306": instanceA + ":3306",
		"localhost":       "elsewhere.test:4000",
	}
	for _, c := range []struct{ addr, region, endpoint, signedFor, problem string }{
		{addr: instanceA + ":3306", endpoint: instanceA + ":3306", signedFor: "eu-west-1"},
		{addr: instanceA, endpoint: instanceA + ":3306", signedFor: "eu-west-1"},
		{addr: "A.abc123.EU-WEST-1.rds.amazonaws.com.:3310", endpoint: instanceA + ":3310", signedFor: "eu-west-1"},
		{addr: instanceA + ":3306", region: "eu-west-1", endpoint: instanceA + ":3306", signedFor: "eu-west-1"},
		{addr: instanceA + ":3306", region: "eu-west-2", problem: `IAMConfig.Region is "eu-west-2", but ` + instanceA + ` is in "eu-west-1"`},
		{addr: "c.cluster-ro-abc.us-gov-west-1.rds.amazonaws.com:1", endpoint: "c.cluster-ro-abc.us-gov-west-1.rds.amazonaws.com:1", signedFor: "us-gov-west-1"},
		{addr: "c.abc.rds.us-gov-east-1.amazonaws.com:1", endpoint: "c.abc.rds.us-gov-east-1.amazonaws.com:1", signedFor: "us-gov-east-1"},
		{addr: china + ":3306", endpoint: china + ":3306", signedFor: "cn-north-1"},
		{addr: "d.abc.cn-northwest-1.rds.amazonaws.com.cn:3306", endpoint: "d.abc.cn-northwest-1.rds.amazonaws.com.cn:3306", signedFor: "cn-northwest-1"},
		{addr: china + ":3306", region: "eu-west-1", problem: `is in "cn-north-1"`},
		{addr: "p.proxy-abc.eu-west-3.rds.amazonaws.com:3306", endpoint: "p.proxy-abc.eu-west-3.rds.amazonaws.com:3306", signedFor: "eu-west-3"},
		{addr: "g.global-abc.global.rds.amazonaws.com:3306", problem: "set IAMConfig.Region"},
		{addr: "g.global-abc.global.rds.amazonaws.com:3306", region: "eu-west-1", endpoint: "g.global-abc.global.rds.amazonaws.com:3306", signedFor: "eu-west-1"},
		{addr: "db.example.com:3333", endpoint: "mine.cluster-abc.eu-west-1.rds.amazonaws.com:3333", signedFor: "eu-west-1"},
		{addr: "localhost:13306", endpoint: instanceA + ":3306", signedFor: "eu-west-1"},
		{addr: "localhost:13307", problem: "set IAMConfig.Region"},
		{addr: "localhost:13307", region: "eu-west-1", endpoint: "elsewhere.test:4000", signedFor: "eu-west-1"},
		{addr: "db2.example.com:3306", problem: "IAMConfig.Endpoints"},
		{addr: "db2.example.com:3306", region: "eu-west-1", problem: "IAMConfig.Endpoints"},
		{addr: "10.0.0.7:3306", problem: "IAMConfig.Endpoints"},
		{addr: "/run/mysqld.sock", problem: "socket"},
		{addr: "localhost:13307", region: "eu-west-1a", problem: `"eu-west-1a" is not the name of a region`},
		{addr: "x.abc.nowhere.rds.amazonaws.com:1", problem: `"nowhere" is not the name of a region`},
	} {
		p := IAM(IAMConfig{User: "app", Region: c.region, Endpoints: endpoints, AWS: static()})
		_, token, _, err := p.Credentials(t.Context(), at(c.addr))
		if c.problem != "" {
			wants(t, err, c.problem, "app", c.addr)
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.addr, err)
			continue
		}
		if err := judgeToken(token, c.endpoint, c.signedFor, "app", map[string]key{accessKey: {secret: secretKey, session: sessionKey}}, time.Now()); err != nil {
			t.Errorf("%s: %v: %s", c.addr, err, token)
		}
	}
}

func TestIAMErrors(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	give := func(c aws.Credentials, err error) *aws.Config {
		return &aws.Config{Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return c, err })}
	}
	hang := &aws.Config{Credentials: aws.CredentialsProviderFunc(func(ctx context.Context) (aws.Credentials, error) {
		<-ctx.Done()
		return aws.Credentials{}, ctx.Err()
	})}
	for want, c := range map[string]IAMConfig{
		"IAMConfig.User is empty":                      {AWS: static()},
		"AWS credentials: no role":                     {User: "app", AWS: give(aws.Credentials{}, errors.New("no role"))},
		"AWS credentials: there is no access key":      {User: "app", AWS: give(aws.Credentials{}, nil)},
		"the aws.Config has no Credentials":            {User: "app", AWS: &aws.Config{}},
		"AWS credentials: no answer: context deadline": {User: "app", AWS: hang},
	} {
		_, token, _, err := IAM(c).Credentials(ctx, at(instanceA+":3306"))
		wants(t, err, want, "no IAM token", instanceA)
		if token != "" {
			t.Errorf("%s: a token", want)
		}
		if strings.Contains(want, "deadline") != errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v is a deadline: %t", err, errors.Is(err, context.DeadlineExceeded))
		}
	}
}
