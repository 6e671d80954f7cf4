package awsauth

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// environment makes the SDK find AWS credentials in the environment, and nothing else.
func environment(t testing.TB, endpoint string) {
	t.Helper()
	for _, variable := range os.Environ() { // this machine's own
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "AWS_") {
			t.Setenv(name, "")
		}
	}
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": accessKey, "AWS_SECRET_ACCESS_KEY": secretKey, "AWS_SESSION_TOKEN": sessionKey, "AWS_REGION": region,
		"AWS_ENDPOINT_URL_SECRETS_MANAGER": endpoint, "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null", "AWS_PROFILE": "",
	} {
		t.Setenv(name, value)
	}
}

func TestDefaultConfig(t *testing.T) {
	m := newManager("app", "canary-1")
	server := httptest.NewServer(m)
	defer server.Close()
	environment(t, server.URL)
	_, password, _, err := Secret(SecretConfig{ID: secretID}).Credentials(t.Context(), at("a:1"))
	if asked, _ := m.requests(); err != nil || password != "canary-1" || asked != stageCurrent {
		t.Errorf("%q %v; asked for %q", password, err, asked)
	}
	_, token, _, err := IAM(IAMConfig{User: "app"}).Credentials(t.Context(), at(instanceA))
	if err != nil {
		t.Fatal(err)
	}
	if err := judgeToken(token, instanceA+":3306", region, "app", m.keys, time.Now()); err != nil {
		t.Error(err)
	}

	t.Setenv("AWS_PROFILE", "nowhere")
	_, _, _, err = Secret(SecretConfig{ID: secretID}).Credentials(t.Context(), at("a:1"))
	wants(t, err, "AWS configuration", "nowhere")
	_, _, _, err = IAM(IAMConfig{User: "app"}).Credentials(t.Context(), at(instanceA))
	wants(t, err, "AWS configuration", "nowhere")
	t.Setenv("AWS_PROFILE", "")
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	for _, c := range []func() error{
		func() error {
			_, _, _, err := Secret(SecretConfig{ID: secretID}).Credentials(t.Context(), at("a:1"))
			return err
		},
		func() error {
			_, _, _, err := IAM(IAMConfig{User: "app"}).Credentials(t.Context(), at(instanceA))
			return err
		},
	} {
		wants(t, c(), "failed to refresh cached credentials")
	}
}

// TestSecretOverHTTP: a real connection, and none.
func TestSecretOverHTTP(t *testing.T) {
	m := newManager("app", "canary-1")
	cfg := m.served(t)
	p := Secret(SecretConfig{ID: secretID, AWS: cfg})
	if _, password, _, err := p.Credentials(t.Context(), at("a:1")); err != nil || password != "canary-1" {
		t.Errorf("%q %v", password, err)
	}
	m.fail(fault{hang: true})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	began := time.Now()
	_, _, _, err := p.Refresh(ctx, at("a:1"))
	wants(t, err, "GetSecretValue: no answer: context deadline exceeded")
	if d := time.Since(began); d > 2*time.Second {
		t.Errorf("after %s", d)
	}
	closed := httptest.NewServer(m)
	closed.Close()
	cfg.BaseEndpoint = &closed.URL
	_, _, _, err = Secret(SecretConfig{ID: secretID, AWS: cfg}).Credentials(t.Context(), at("a:1"))
	wants(t, err, "connection refused", "no credentials from secret")
}

// TestPrinting: whatever way a provider is printed, alone or within something.
func TestPrinting(t *testing.T) {
	m := newManager("app", "canary-1")
	secret, iam := Secret(SecretConfig{ID: secretID, AWS: m.config()}), IAM(IAMConfig{User: "app", AWS: static()})
	if _, _, _, err := secret.Credentials(t.Context(), at("a:1")); err != nil {
		t.Fatal(err)
	}
	type program struct {
		provider any
		Public   any
	}
	for _, p := range []any{
		secret, *secret, iam, *iam,
		program{secret, secret},
		&program{iam, iam},
		program{*secret, *iam},
		SecretConfig{AWS: m.config()},
		IAMConfig{AWS: static()},
	} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
			if text := fmt.Sprintf(verb, p); strings.Contains(text, "canary") || strings.Contains(text, fmt.Sprintf("%x", "canary")) {
				t.Errorf("%s of %T shows a secret: %s", verb, p, text)
			}
		}
	}
	if got := fmt.Sprint(secret, " ", iam); got != `awsauth.Secret("prod/shop") awsauth.IAM("app")` {
		t.Error(got)
	}
}

// TestAssumeRole: the call that fails is one for AWS credentials.
func TestAssumeRole(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/xml")
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprint(w, `<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>Not authorized to perform sts:AssumeRoleWithWebIdentity</Message></Error><RequestId>7</RequestId></ErrorResponse>`)
	}))
	defer server.Close()
	for _, p := range places {
		if strings.HasPrefix(p.name, "web") {
			p.enter(t, server.URL)
		}
	}
	const want = `: STS AssumeRoleWithWebIdentity: AccessDenied: Not authorized to perform sts:AssumeRoleWithWebIdentity (HTTP 403, request "7")`
	_, _, _, err := Secret(SecretConfig{ID: secretID}).Credentials(t.Context(), at("a:1"))
	wants(t, err, `no credentials from secret "prod/shop"`+want)
	if strings.Contains(err.Error(), "secretsmanager:GetSecretValue") {
		t.Errorf("advice about another call: %v", err)
	}
	_, _, _, err = IAM(IAMConfig{User: "app"}).Credentials(t.Context(), at(instanceA))
	wants(t, err, `no IAM token for user "app" at `+instanceA+": AWS credentials"+want)
}

// TestUnreadable: an answer that is none must not end up in an error.
func TestUnreadable(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"SecretString": "canary`)
	}))
	defer server.Close()
	environment(t, server.URL)
	_, _, _, err := Secret(SecretConfig{ID: secretID}).Credentials(t.Context(), at("a:1"))
	wants(t, err, "Secrets Manager GetSecretValue: the answer cannot be read")
}

// TestCredentialProcess: what a process prints that is no credentials may have them in it, behind a
// greeting, say, or beside a time in another form.
func TestCredentialProcess(t *testing.T) {
	const keys = `{"Version": 1, "AccessKeyId": "A", "SecretAccessKey": "canary", "SessionToken": "canary", "Expiration": "%s"}`
	for _, c := range []struct{ does, want string }{
		{"echo hello; echo '" + fmt.Sprintf(keys, "2126-01-02T15:04:05Z") + "'", "credential_process: its output cannot be read"},
		{"echo '" + fmt.Sprintf(keys, "tomorrow") + "'", "credential_process: its output cannot be read"},
		{"echo '" + keys[:60] + "'", "credential_process: its output cannot be read"},
		{"echo canary; exit 3", "error in credential_process: exit status 3"},
		{"echo '{}'", "wrong version in process output"},
	} {
		environment(t, "http://127.0.0.1:1")
		t.Setenv("AWS_ACCESS_KEY_ID", "")
		script, config := filepath.Join(t.TempDir(), "keys"), filepath.Join(t.TempDir(), "config")
		for file, text := range map[string]string{script: c.does, config: "[default]\ncredential_process = sh " + script + "\n"} {
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		t.Setenv("AWS_CONFIG_FILE", config)
		_, _, _, err := IAM(IAMConfig{User: "app"}).Credentials(t.Context(), at(instanceA))
		wants(t, err, "no IAM token", "AWS credentials: ", c.want)
		_, _, _, err = Secret(SecretConfig{ID: secretID}).Credentials(t.Context(), at("a:1"))
		wants(t, err, "no credentials from secret", "GetSecretValue", c.want)
	}
}
