package awsauth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
)

// rig is a provider before a manager, in a bubble.
type rig struct {
	*testing.T
	m    *manager
	p    *SecretProvider
	logs *strings.Builder
}

func bubble(t *testing.T, name string, change func(*SecretConfig), test func(r *rig)) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := &rig{T: t, m: newManager("app", "canary-1"), logs: new(strings.Builder)}
			c := SecretConfig{ID: secretID, AWS: r.m.config(), Logger: slog.New(slog.NewTextHandler(r.logs, nil))}
			if change != nil {
				change(&c)
			}
			r.p = Secret(c)
			test(r)
			if strings.Contains(r.logs.String(), "canary") {
				t.Errorf("a secret in the log:\n%s", r.logs)
			}
		})
	})
}

// gets checks what an instance gets, for how long, and which stages Secrets Manager was asked for.
func (r *rig) gets(addr, password string, valid time.Duration, asked string, refresh bool) {
	r.Helper()
	call := r.p.Credentials
	if refresh {
		call = r.p.Refresh
	}
	_, got, expiry, err := call(r.Context(), at(addr))
	if err != nil || got != password || time.Until(expiry).Round(time.Second) != valid {
		r.Errorf("%s got %q for %s, %v; want %q for %s", addr, got, time.Until(expiry), err, password, valid)
	}
	if stages, _ := r.m.requests(); stages != asked {
		r.Errorf("%s: asked for %q, want %q", addr, stages, asked)
	}
}

func TestSecretCache(t *testing.T) {
	bubble(t, "one read serves all instances until shortly before its end", nil, func(r *rig) {
		r.gets("a:1", "canary-1", time.Hour, "AWSCURRENT", false)
		time.Sleep(54 * time.Minute)
		r.gets("b:1", "canary-1", 6*time.Minute, "", false)
		time.Sleep(time.Minute) // the driver renews from now on
		r.gets("a:1", "canary-1", time.Hour, "AWSCURRENT", false)
		if s := r.p.Stats(); s != (SecretStats{Calls: 2, Changes: 1}) {
			r.Errorf("%+v: a version that is known was parsed again", s)
		}
	})
	bubble(t, "a TTL of one's own", func(c *SecretConfig) { c.TTL = 10 * time.Second }, func(r *rig) {
		r.gets("a:1", "canary-1", 10*time.Second, "AWSCURRENT", false)
		r.m.put("v2", "app", "canary-2")
		r.m.label(stageCurrent, "v2")
		time.Sleep(7 * time.Second)
		r.gets("a:1", "canary-1", 3*time.Second, "", false)
		time.Sleep(time.Second)
		r.gets("a:1", "canary-2", 10*time.Second, "AWSCURRENT", false)
	})
	bubble(t, "a crowd asks once", nil, func(r *rig) {
		var all sync.WaitGroup
		for i := range 50 {
			all.Go(func() {
				if _, password, _, err := r.p.Credentials(r.Context(), at(fmt.Sprint("i:", i))); err != nil || password != "canary-1" {
					r.Errorf("%q %v", password, err)
				}
			})
		}
		all.Wait()
		if asked, _ := r.m.requests(); asked != "AWSCURRENT" {
			r.Error(asked)
		}
		r.m.put("v2", "app", "canary-2")
		r.m.label(stageCurrent, "v2")
		for i := range 50 { // and so it does when all were refused
			all.Go(func() {
				if _, password, _, err := r.p.Refresh(r.Context(), at(fmt.Sprint("i:", i))); err != nil || password != "canary-2" {
					r.Errorf("%q %v", password, err)
				}
			})
		}
		all.Wait()
		if asked, _ := r.m.requests(); asked != "AWSCURRENT" {
			r.Error(asked)
		}
	})
}

func TestSecretRotation(t *testing.T) {
	bubble(t, "a refused value is asked for again", nil, func(r *rig) {
		r.gets("a:1", "canary-1", time.Hour, "AWSCURRENT", false)
		r.m.put("v2", "app", "canary-2")
		r.m.label(stageCurrent, "v2")
		r.gets("a:1", "canary-2", time.Hour, "AWSCURRENT", true)
		r.gets("b:1", "canary-2", time.Hour, "", false)
	})
	bubble(t, "the server knows the next password before the label is moved", nil, func(r *rig) {
		r.gets("a:1", "canary-1", time.Hour, "AWSCURRENT", false)
		r.m.put("v2", "app", "canary-2")
		r.m.label(stagePending, "v2")
		r.gets("a:1", "canary-2", interim, "AWSCURRENT AWSPENDING", true)
		r.gets("b:1", "canary-1", time.Hour, "", false) // which has not refused it
		r.m.label(stageCurrent, "v2")
		r.m.label(stagePending, "")
		time.Sleep(interim)
		r.gets("a:1", "canary-2", time.Hour, "AWSCURRENT", false)
		if s := r.p.Stats(); s.Fallback != 1 || s.Changes != 2 {
			r.Errorf("%+v", s)
		}
	})
	bubble(t, "a reader does not know the new password yet", nil, func(r *rig) {
		r.m.put("v2", "app", "canary-2")
		r.m.label(stagePrevious, "v1")
		r.m.label(stageCurrent, "v2")
		r.m.label(stagePending, "v2") // as rotations leave it
		r.gets("a:1", "canary-2", time.Hour, "AWSCURRENT", false)
		r.gets("a:1", "canary-1", interim, "AWSCURRENT AWSPENDING AWSPREVIOUS", true)
		time.Sleep(interim)
		r.gets("a:1", "canary-2", time.Hour, "AWSCURRENT", false)
	})
	bubble(t, "nothing is taken: the current one is said", nil, func(r *rig) {
		r.m.put("v0", "app", "canary-0")
		r.m.label(stagePrevious, "v0")
		r.gets("a:1", "canary-1", time.Hour, "AWSCURRENT", false)
		r.gets("a:1", "canary-0", interim, "AWSCURRENT AWSPENDING AWSPREVIOUS", true)
		r.gets("a:1", "canary-1", time.Hour, "AWSCURRENT AWSPENDING AWSPREVIOUS", true)
	})
	bubble(t, "a stage of one's own is used alone", func(c *SecretConfig) { c.Stage = stagePending }, func(r *rig) {
		_, _, _, err := r.p.Credentials(r.Context(), at("a:1"))
		wants(r.T, err, `no credentials from secret "prod/shop": it has no version with the label AWSPENDING`)
		r.m.requests()
		r.m.put("v2", "app", "canary-2")
		r.m.label(stagePending, "v2")
		r.gets("a:1", "canary-2", time.Hour, "AWSPENDING", true)
		r.gets("a:1", "canary-2", time.Hour, "AWSPENDING", true)
	})
	bubble(t, "users in turn", nil, func(r *rig) {
		r.m.put("v2", "app_clone", "canary-2")
		r.m.label(stageCurrent, "v2")
		if user, _, _, err := r.p.Credentials(r.Context(), at("a:1")); user != "app_clone" || err != nil {
			r.Errorf("%q %v", user, err)
		}
	})
}

func TestSecretTrouble(t *testing.T) {
	throttled := fault{status: 400, code: "ThrottlingException", text: "Rate exceeded"}
	broken := fault{status: 500, code: "InternalServiceError", text: "An error occurred on the server side."}
	bubble(t, "throttling and 5xx are tried again by the SDK", nil, func(r *rig) {
		r.m.fail(throttled, broken)
		r.gets("a:1", "canary-1", time.Hour, "AWSCURRENT", false)
		r.m.fail(throttled, throttled, throttled)
		_, _, _, err := r.p.Refresh(r.Context(), at("a:1"))
		wants(r.T, err, "Secrets Manager GetSecretValue: ThrottlingException: Rate exceeded (HTTP 400", secretID)
		if s := r.p.Stats(); s != (SecretStats{Calls: 2, Failures: 1, Changes: 1}) {
			r.Errorf("%+v", s)
		}
	})
	bubble(t, "an older value is used while Secrets Manager is away, and is not where it was refused", nil, func(r *rig) {
		r.gets("a:1", "canary-1", time.Hour, "AWSCURRENT", false)
		time.Sleep(2 * time.Hour)
		r.m.fail(broken, broken, broken)
		r.gets("a:1", "canary-1", interim, "", false)
		r.m.fail(fault{hang: true})
		time.Sleep(interim)
		began := time.Now()
		r.gets("a:1", "canary-1", interim, "", false)
		if d := time.Since(began); d != patience {
			r.Errorf("waited %s", d)
		}
		if log := r.logs.String(); strings.Count(log, "level=WARN") != 2 || !strings.Contains(log, "age=2h0m0s") || !strings.Contains(log, "InternalServiceError") {
			r.Errorf("logged %s", log)
		}
		r.m.fail(broken, broken, broken)
		_, _, _, err := r.p.Refresh(r.Context(), at("a:1"))
		wants(r.T, err, "InternalServiceError", "HTTP 500")
		if s := r.p.Stats(); s.Stale != 2 || s.Failures != 3 {
			r.Errorf("%+v", s)
		}
		r.gets("b:1", "canary-1", time.Hour, "AWSCURRENT", true)
	})
	bubble(t, "a permission that was taken away counts at once", nil, func(r *rig) {
		r.gets("a:1", "canary-1", time.Hour, "AWSCURRENT", false)
		time.Sleep(2 * time.Hour)
		r.m.fail(fault{status: 400, code: "AccessDeniedException", text: "User: arn:aws:iam::1:role/shop is not authorized to perform: secretsmanager:GetSecretValue on resource: prod/shop"})
		_, _, _, err := r.p.Credentials(r.Context(), at("a:1"))
		wants(r.T, err, `no credentials from secret "prod/shop": Secrets Manager GetSecretValue: AccessDeniedException`, "arn:aws:iam::1:role/shop", "the role needs secretsmanager:GetSecretValue")
	})
	bubble(t, "an endpoint that hangs ends with the deadline", nil, func(r *rig) {
		r.m.fail(fault{hang: true})
		ctx, cancel := context.WithTimeout(r.Context(), 3*time.Second)
		defer cancel()
		began := time.Now()
		_, _, _, err := r.p.Credentials(ctx, at("a:1"))
		wants(r.T, err, "Secrets Manager GetSecretValue: no answer: context deadline exceeded")
		if d := time.Since(began); d != 3*time.Second || !errors.Is(err, context.DeadlineExceeded) {
			r.Errorf("after %s: %v", d, err)
		}
		// One who waits for another's call has a deadline of his own.
		r.m.fail(fault{hang: true})
		ctx, cancel = context.WithTimeout(r.Context(), time.Minute)
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _, _, _ = r.p.Credentials(ctx, at("a:1"))
		}()
		synctest.Wait()
		short, end := context.WithTimeout(r.Context(), time.Second)
		defer end()
		_, _, _, err = r.p.Credentials(short, at("b:1"))
		wants(r.T, err, "no answer: context deadline exceeded")
		if d := time.Since(began); d != 4*time.Second {
			r.Errorf("until %s", d)
		}
		cancel()
		<-done
	})
	for _, off := range []time.Duration{-7 * time.Hour, 10 * time.Minute} {
		bubble(t, "this machine's clock is off by "+off.String(), nil, func(r *rig) {
			r.m.off = off
			for i, want := range []string{"InvalidSignatureException", ""} { // what was learnt is remembered
				_, password, _, err := r.p.Refresh(r.Context(), at(fmt.Sprint(i)))
				if asked, refused := r.m.requests(); err != nil || password != "canary-1" || asked != "AWSCURRENT" || refused != want {
					r.Errorf("%q %v; asked for %q, refused %q, want %q", password, err, asked, refused, want)
				}
			}
		})
	}
}

func TestSecretAWSCredentials(t *testing.T) {
	bubble(t, "expired ones are renewed", nil, func(r *rig) {
		old, fresh := key{secret: secretKey, ends: time.Now().Add(time.Minute)}, key{secret: secretKey + "2"}
		r.m.keys = map[string]key{"OLD": old, "NEW": fresh}
		id := "OLD"
		cfg := r.m.config()
		cfg.Credentials = aws.NewCredentialsCache(aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			// They do not say when they end.
			return aws.Credentials{AccessKeyID: id, SecretAccessKey: r.m.keys[id].secret}, nil
		}))
		r.p = Secret(SecretConfig{ID: secretID, AWS: cfg})
		r.gets("a:1", "canary-1", time.Hour, "AWSCURRENT", false)
		id = "NEW"
		time.Sleep(2 * time.Minute)
		_, password, _, err := r.p.Refresh(r.Context(), at("b:1"))
		if asked, refused := r.m.requests(); err != nil || password != "canary-1" || refused != "ExpiredTokenException" || asked != "AWSCURRENT" {
			r.Errorf("%q %v; asked for %s, refused %s", password, err, asked, refused)
		}
	})
	for _, c := range []struct {
		name  string
		creds aws.CredentialsProvider
		want  string
	}{
		{"wrong", credentials.NewStaticCredentialsProvider(accessKey, "canary-wrong", sessionKey), "InvalidSignatureException (HTTP 400, request \"request-1\"); the secret access key is wrong"},
		{"unknown", credentials.NewStaticCredentialsProvider("X", secretKey, ""), "UnrecognizedClientException: The security token included in the request is invalid"},
		{"none", aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return aws.Credentials{}, errors.New("no role is set") }), "no role is set"},
		{"hanging", aws.CredentialsProviderFunc(func(ctx context.Context) (aws.Credentials, error) {
			<-ctx.Done()
			return aws.Credentials{}, ctx.Err()
		}), "no answer: context deadline exceeded"},
	} {
		bubble(t, c.name, func(s *SecretConfig) { s.AWS.Credentials = c.creds }, func(r *rig) {
			ctx, cancel := context.WithTimeout(r.Context(), time.Minute)
			defer cancel()
			_, _, _, err := r.p.Credentials(ctx, at("a:1"))
			wants(r.T, err, c.want, "no credentials from secret")
		})
	}
}

func TestSecretErrors(t *testing.T) {
	arn := "arn:aws:secretsmanager:eu-west-2:123456789012:secret:prod/shop-AbCdEf"
	for _, c := range []struct {
		change func(*SecretConfig)
		want   string
	}{
		{func(c *SecretConfig) { c.ID = "" }, "SecretConfig.ID is empty"},
		{func(c *SecretConfig) { c.ID = "other" }, "ResourceNotFoundException"},
		{func(c *SecretConfig) { c.Region, c.AWS.Region = "", "" }, "SecretConfig.Region is empty"},
		{func(c *SecretConfig) { c.Region = "eu-west-1b" }, `"eu-west-1b" is not the name of a region`},
		{func(c *SecretConfig) { c.ID, c.Region = arn, region }, `SecretConfig.Region is "eu-west-1", but the ARN's is "eu-west-2"`},
		{func(c *SecretConfig) { c.ID = "arn:aws:rds:eu-west-1:123456789012:cluster:shop" }, `the ARN of something of "rds"`},
		{func(c *SecretConfig) { c.AWS.Credentials = nil }, "the aws.Config has no Credentials"},
		{func(c *SecretConfig) { c.ID = arn }, "scope"}, // of the region in the ARN, which the manager does not answer for
	} {
		bubble(t, c.want, c.change, func(r *rig) {
			_, _, _, err := r.p.Credentials(r.Context(), at("a:1"))
			if c.want == "scope" {
				if _, refused := r.m.requests(); !strings.Contains(refused, "InvalidSignatureException") {
					r.Errorf("%s: %v", refused, err)
				}
				return
			}
			wants(r.T, err, c.want, "no credentials from secret")
		})
	}
	bubble(t, "types are kept", func(c *SecretConfig) { c.ID = "other" }, func(r *rig) {
		_, _, _, err := r.p.Credentials(r.Context(), at("a:1"))
		if _, ok := errors.AsType[*types.ResourceNotFoundException](err); !ok {
			r.Errorf("%v", err)
		}
	})
}

func TestSecretForms(t *testing.T) {
	for _, c := range []struct {
		text any
		want string
	}{
		{`{"username":"app","password":"canary-1"}`, ""},
		{[]byte(`{"username":"app","password":"canary-1","port":1}`), ""},
		{"canary-plain", "it is no JSON object"},
		{"", "it is no JSON object"},
		{`"canary"`, "it is no JSON object"},
		{"null", "it is no JSON object"},
		{`{"username":"app","password":"canary-1"`, "it is no JSON object"},
		{`{"password":"canary-1"}`, `it has no key "username"`},
		{`{"user":"app","password":"canary-1"}`, `it has no key "username", only "user"`},
		{`{"username":"app","Password":"canary-1"}`, `it has no key "password", only "Password"`},
		{`{"username":"app","password":12345}`, `its key "password" is no string`},
		{`{"username":"app","password":""}`, `its key "password" is empty`},
		{`{"username":null,"password":"canary-1"}`, `its key "username" is empty`},
	} {
		bubble(t, fmt.Sprintf("%s", c.text), nil, func(r *rig) {
			r.m.set("v1", c.text)
			if c.want == "" {
				r.gets("a:1", "canary-1", time.Hour, "AWSCURRENT", false)
				return
			}
			_, _, _, err := r.p.Credentials(r.Context(), at("a:1"))
			wants(r.T, err, `no credentials from secret "prod/shop": version "v1" (AWSCURRENT): `+c.want)
		})
	}
}
