package driver

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/failoverproxy/failoverproxy/topology"
)

// ask is what a provider says.
func ask(t *testing.T, p CredentialsProvider) (user, password string, err error) {
	t.Helper()
	user, password, expiry, err := p.Credentials(t.Context(), topology.Instance{Addr: "db:3306"})
	if !expiry.IsZero() {
		t.Errorf("it expires at %s", expiry)
	}
	return user, password, err
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestFileCredentials reads secrets that are as they should be and that are not.
func TestFileCredentials(t *testing.T) {
	const user, password = "app", "pa55 \"word\""
	files := func(name, text string, more ...string) map[string]string {
		m := map[string]string{name: text}
		for i := 0; i+1 < len(more); i += 2 {
			m[more[i]] = more[i+1]
		}
		return m
	}
	for name, test := range map[string]struct {
		files map[string]string
		path  string // of the file; "" = the directory
		want  string // in the error; "" = it is right
	}{
		"JSON":             {files("db.json", `{"username": "app", "password": "pa55 \"word\""}`), "db.json", ""},
		"JSON of RDS":      {files("db.json", `{"dbClusterIdentifier":"c","engine":"mysql","host":"h","password":"pa55 \"word\"","port":3306,"username":"app"}`+"\n"), "db.json", ""},
		"directory":        {files("username", user, "password", password), "", ""},
		"line ends":        {files("username", user+"\n", "password", password+"\r\n", "other", "x"), "", ""},
		"no file":          {nil, "db.json", "there is no such file"},
		"no JSON":          {files("db.json", canary), "db.json", "no JSON object"},
		"a list":           {files("db.json", `["`+canary+`"]`), "db.json", "no JSON object"},
		"null":             {files("db.json", `null`), "db.json", "no JSON object"},
		"half":             {files("db.json", `{"username": "app", "password": "`+canary), "db.json", "no JSON object"},
		"no user in JSON":  {files("db.json", `{"user": "app", "password": "`+canary+`"}`), "db.json", "username: the JSON object has no such key"},
		"no password":      {files("db.json", `{"username": "`+canary+`"}`), "db.json", "password: the JSON object has no such key"},
		"a number":         {files("db.json", `{"username": "app", "password": 12345678}`), "db.json", "password: its value in the JSON object is no text"},
		"null password":    {files("db.json", `{"username": "app", "password": null}`), "db.json", "password: its value in the JSON object is no text"},
		"empty user":       {files("db.json", `{"username": "", "password": "`+canary+`"}`), "db.json", "username: it is empty"},
		"empty file":       {files("username", user, "password", "\n"), "", "password: it is empty"},
		"no user file":     {files("password", canary), "", "username: there is no such file"},
		"no password file": {files("username", canary), "", "password: there is no such file"},
		"too long":         {files("db.json", strings.Repeat("x", 2<<20)), "db.json", "longer"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for name, text := range test.files {
				write(t, filepath.Join(dir, name), text)
			}
			gotUser, gotPassword, err := ask(t, FileCredentials(filepath.Join(dir, test.path)))
			switch {
			case test.want == "" && (err != nil || gotUser != user || gotPassword != password):
				t.Errorf("got %q, %q, %v", gotUser, gotPassword, err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), dir)):
				t.Errorf("got %v, want %q", err, test.want)
			case err != nil && (strings.Contains(err.Error(), canary) || strings.Contains(err.Error(), "12345678")):
				t.Error(err)
			}
		})
	}
	t.Run("no file at all", func(t *testing.T) {
		if _, _, err := ask(t, FileCredentials("/dev/null")); err == nil || !strings.Contains(err.Error(), "it is no file") {
			t.Error(err)
		}
	})
}

// TestFileCredentialsChange: what was read is kept while the file is broken, until somebody who
// was refused asks for more.
func TestFileCredentialsChange(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db.json")
	p := FileCredentials(path).(*fileCredentials)
	want := func(want string) {
		t.Helper()
		if _, got, err := ask(t, p); err != nil || got != want {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	}
	write(t, path, `{"username": "app", "password": "first"}`)
	want("first")
	read := p.last.Load()
	want("first")
	if p.last.Load() != read {
		t.Error("read again, though nothing has changed")
	}
	write(t, path, `{"username": "app", "password": "second"}`)
	want("second")
	write(t, path, `{"username": "app"`)
	want("second")
	if _, _, _, err := p.Refresh(t.Context(), topology.Instance{}); err == nil || !strings.Contains(err.Error(), "no JSON") {
		t.Error(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	want("second")
	write(t, path, `{"username": "app", "password": "third"}`)
	want("third")
	if text := fmt.Sprintf("%v %+v %#v %s", p, p, p, p); strings.Contains(text, "third") || !strings.Contains(text, path) {
		t.Error(text)
	}
}

// TestFileCredentialsOfKubernetes: a mounted secret changes while it is read. User and password
// are of one version each time.
func TestFileCredentialsOfKubernetes(t *testing.T) {
	dir := t.TempDir()
	publish := func(version int) {
		name := "..v" + strconv.Itoa(version)
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, name, "username"), fmt.Sprintf("user-%d", version))
		write(t, filepath.Join(dir, name, "password"), fmt.Sprintf("password-%d\n", version))
		link := filepath.Join(dir, "..tmp")
		if err := os.Symlink(name, link); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(link, filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
		_ = os.RemoveAll(filepath.Join(dir, "..v"+strconv.Itoa(version-1)))
	}
	publish(0)
	for _, name := range []string{"username", "password"} {
		if err := os.Symlink(filepath.Join("..data", name), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	p := FileCredentials(dir)
	stop := make(chan struct{})
	var reading sync.WaitGroup
	for range 2 {
		reading.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				user, password, err := ask(t, p)
				if err != nil || strings.TrimPrefix(user, "user-") != strings.TrimPrefix(password, "password-") {
					t.Errorf("%q with %q, %v", user, password, err)
					return
				}
			}
		})
	}
	last := 0
	for end := time.Now().Add(500 * time.Millisecond); time.Now().Before(end); {
		last++
		publish(last)
	}
	close(stop)
	reading.Wait()
	if user, _, err := ask(t, p); err != nil || user != fmt.Sprintf("user-%d", last) {
		t.Errorf("got %s, %v, want version %d", user, err, last)
	}
}
