package awsauth

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/failoverproxy/failoverproxy/driver"
)

// place is where a program runs, which is where the SDK finds AWS credentials.
type place struct {
	name     string
	requests int64 // for them
	enter    func(t testing.TB, endpoint string)
}

var places = []place{
	{"environment, as in Lambda", 0, environment},
	{"container, as in ECS", 1, func(t testing.TB, endpoint string) {
		environment(t, endpoint)
		t.Setenv("AWS_ACCESS_KEY_ID", "")
		t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", endpoint+"/container")
	}},
	{"web identity, as in EKS", 1, func(t testing.TB, endpoint string) {
		environment(t, endpoint)
		t.Setenv("AWS_ACCESS_KEY_ID", "")
		token := filepath.Join(t.TempDir(), "token")
		if err := os.WriteFile(token, []byte("canary"), 0o600); err != nil {
			t.Fatal(err)
		}
		t.Setenv("AWS_WEB_IDENTITY_TOKEN_FILE", token)
		t.Setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/shop")
		t.Setenv("AWS_ENDPOINT_URL_STS", endpoint+"/sts")
	}},
	{"metadata, as in EC2", 3, func(t testing.TB, endpoint string) {
		environment(t, endpoint)
		t.Setenv("AWS_ACCESS_KEY_ID", "")
		t.Setenv("AWS_EC2_METADATA_DISABLED", "")
		t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", endpoint)
	}},
}

// services answers for all of the services, and counts.
type services struct {
	*httptest.Server
	requests atomic.Int64
}

func newServices(t testing.TB) *services {
	s, m := new(services), newManager("app", "canary-1")
	m.wait = 0
	keys := map[string]any{
		"AccessKeyId": accessKey, "SecretAccessKey": secretKey, "Token": sessionKey, "Code": "Success",
		"Expiration": time.Now().Add(6 * time.Hour).UTC().Format(time.RFC3339),
	}
	mux := http.NewServeMux()
	give := func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(keys) }
	mux.Handle("/", m)
	mux.HandleFunc("/container", give)
	mux.HandleFunc("/latest/api/token", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "21600")
		fmt.Fprint(w, "canary")
	})
	mux.HandleFunc("/latest/meta-data/iam/security-credentials/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "shop") })
	mux.HandleFunc("/latest/meta-data/iam/security-credentials/shop", give)
	mux.HandleFunc("POST /sts", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/xml")
		fmt.Fprintf(w, `<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithWebIdentityResult><Credentials>
<AccessKeyId>%s</AccessKeyId><SecretAccessKey>%s</SecretAccessKey><SessionToken>%s</SessionToken><Expiration>%s</Expiration>
</Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`, accessKey, secretKey, sessionKey, keys["Expiration"])
	})
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.requests.Add(1)
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

// cold are the providers as a new process makes them, and how many requests each needs
// beside those for AWS credentials.
var cold = []struct {
	name     string
	requests int64
	make     func() driver.CredentialsProvider
}{
	{"IAM", 0, func() driver.CredentialsProvider { return IAM(IAMConfig{User: "app"}) }},
	{"Secret", 1, func() driver.CredentialsProvider { return Secret(SecretConfig{ID: secretID}) }},
}

// TestColdStart counts the requests until the first connection may begin, and those for the
// next one, to another instance.
func TestColdStart(t *testing.T) {
	for _, p := range places {
		for _, c := range cold {
			t.Run(c.name+"/"+p.name, func(t *testing.T) {
				s := newServices(t)
				p.enter(t, s.URL)
				provider := c.make()
				if n := s.requests.Load(); n != 0 {
					t.Errorf("%d requests before the first connection", n)
				}
				for i, want := range []int64{p.requests + c.requests, 0} {
					s.requests.Store(0)
					_, password, _, err := provider.Credentials(t.Context(), at(fmt.Sprint("i", i, ".abc.eu-west-1.rds.amazonaws.com")))
					if n := s.requests.Load(); err != nil || password == "" || n != want {
						t.Errorf("%d requests, want %d; %v", n, want, err)
					}
				}
			})
		}
	}
}

// BenchmarkCold is what a new process pays for its first credentials, without the way to AWS.
func BenchmarkCold(b *testing.B) {
	for _, p := range places {
		for _, c := range cold {
			b.Run("provider="+c.name+"/at="+p.name[:3], func(b *testing.B) {
				s := newServices(b)
				p.enter(b, s.URL)
				b.ReportAllocs()
				least := time.Hour // on a machine with other work the mean says little
				for b.Loop() {
					began := time.Now()
					if _, _, _, err := c.make().Credentials(b.Context(), at(instanceA)); err != nil {
						b.Fatal(err)
					}
					least = min(least, time.Since(began))
				}
				b.ReportMetric(float64(s.requests.Load())/float64(b.N), "requests/op")
				b.ReportMetric(least.Seconds()*1e3, "ms-at-least")
			})
		}
	}
}

// BenchmarkWarm is what further credentials cost: a token is signed, a secret is remembered.
func BenchmarkWarm(b *testing.B) {
	for _, c := range cold {
		b.Run("provider="+c.name, func(b *testing.B) {
			s := newServices(b)
			environment(b, s.URL)
			provider := c.make()
			b.ReportAllocs()
			for b.Loop() {
				if _, _, _, err := provider.Credentials(b.Context(), at(instanceA)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
