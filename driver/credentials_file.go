package driver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/failoverproxy/failoverproxy/topology"
)

// FileCredentials is a provider for [WithCredentials] that reads user and password of a file or
// a directory, such as Kubernetes mounts a secret. A file holds a JSON object with the keys
// username and password, among any others, as RDS writes secrets. A directory holds a file
// username and a file password, each with a line end at most after its text; if Kubernetes has
// mounted it, both are of one version of the secret.
//
// Whether they have changed is seen, by stat, whenever a new connection is made; nothing
// watches them in between. While they cannot be used, what they had before stays in force,
// until a server refuses it.
func FileCredentials(path string) CredentialsProvider {
	p := &fileCredentials{given: path}
	p.path, p.lost = filepath.Abs(path) // as of now, wherever the program goes
	return p
}

type fileCredentials struct {
	given, path string
	lost        error // why there is no path

	last atomic.Pointer[secret] // nil = never read
}

var _ CredentialsRefresher = (*fileCredentials)(nil)

// secret is what was read. It is not changed.
type secret struct {
	user     string
	password func() string // not a string, which printing by reflection would find
	files    []os.FileInfo // of then
}

// Credentials reads the files if they have changed.
func (p *fileCredentials) Credentials(ctx context.Context, in topology.Instance) (user, password string, expiry time.Time, err error) {
	last := p.last.Load()
	if last == nil || !last.current(p.path) {
		user, password, expiry, err = p.Refresh(ctx, in)
		if err == nil || last == nil {
			return user, password, expiry, err
		}
	}
	return last.user, last.password(), time.Time{}, nil
}

// Refresh reads the files.
func (p *fileCredentials) Refresh(context.Context, topology.Instance) (user, password string, expiry time.Time, err error) {
	s, err := p.read()
	if err != nil {
		return "", "", time.Time{}, err
	}
	p.last.Store(s)
	return s.user, s.password(), time.Time{}, nil
}

// Format prints the path, with every verb.
func (p *fileCredentials) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "driver.FileCredentials("+p.given+")") // fmt.State keeps its own errors
}

// Names of the files in a directory, which are the keys in a file.
const (
	userName     = "username"
	passwordName = "password"
)

// kubernetesData is the link in a mounted secret that leads to its present version. A new
// version is a new directory, to which it is moved.
const kubernetesData = "..data"

// stat looks at what a secret at path consists of now: a file, or a directory's two.
func stat(path string) (dir string, files []os.FileInfo, err error) {
	found, err := os.Stat(path)
	if err != nil {
		return "", nil, err
	}
	if !found.IsDir() {
		return "", []os.FileInfo{found}, nil
	}
	dir = path
	if version, err := os.Readlink(filepath.Join(path, kubernetesData)); err == nil {
		if dir = version; !filepath.IsAbs(dir) {
			dir = filepath.Join(path, dir)
		}
	}
	for _, name := range []string{userName, passwordName} {
		found, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			return dir, nil, &secretError{path: path, key: name, problem: fileProblem(err)}
		}
		files = append(files, found)
	}
	return dir, files, nil
}

// current reports whether the files are as they were when they were read.
func (s *secret) current(path string) bool {
	_, files, err := stat(path)
	return err == nil && same(s.files, files)
}

func same(a, b []os.FileInfo) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !os.SameFile(a[i], b[i]) || !a[i].ModTime().Equal(b[i].ModTime()) || a[i].Size() != b[i].Size() {
			return false
		}
	}
	return true
}

// readLimit is how often a secret is read that changes while it is.
const readLimit = 5

// read reads the secret, all of one version.
func (p *fileCredentials) read() (*secret, error) {
	if p.lost != nil {
		return nil, p.wrong("", "the working directory, to which it is relative, cannot be found")
	}
	var err error
	for range readLimit {
		dir, files, failure := stat(p.path)
		if err = failure; err != nil {
			if dir == "" {
				return nil, p.wrong("", fileProblem(err))
			}
			continue // perhaps it was the version before this one
		}
		var s *secret
		if dir == "" {
			s, err = p.readFile(files)
		} else {
			s, err = p.readDirectory(dir, files)
		}
		if stable := (&secret{files: files}).current(p.path); stable {
			return s, err
		}
	}
	if err == nil {
		return nil, p.wrong("", "it changes faster than it can be read")
	}
	if _, ours := errors.AsType[*secretError](err); ours {
		return nil, err
	}
	return nil, p.wrong("", fileProblem(err))
}

// secretError is what is wrong with a secret. It says nothing of what is in it.
type secretError struct{ path, key, problem string }

func (e *secretError) Error() string {
	text := "driver.FileCredentials: " + strconv.Quote(e.path) + ": "
	if e.key != "" {
		text += e.key + ": "
	}
	return text + e.problem
}

func (p *fileCredentials) wrong(key, problem string) error {
	return &secretError{path: p.given, key: key, problem: problem}
}

func (p *fileCredentials) readFile(files []os.FileInfo) (*secret, error) {
	text, err := p.text(p.path, "", files[0])
	if err != nil {
		return nil, err
	}
	var object map[string]json.RawMessage
	if json.Unmarshal(text, &object) != nil || object == nil {
		return nil, p.wrong("", `it holds no JSON object: want {"username": …, "password": …}, or a directory with two files of these names`)
	}
	values := make(map[string]string)
	for _, key := range []string{userName, passwordName} {
		raw, there := object[key]
		var value *string
		switch {
		case !there:
			return nil, p.wrong(key, "the JSON object has no such key")
		case json.Unmarshal(raw, &value) != nil || value == nil:
			return nil, p.wrong(key, "its value in the JSON object is no text")
		case *value == "":
			return nil, p.wrong(key, "it is empty")
		}
		values[key] = *value
	}
	return newSecret(values[userName], values[passwordName], files), nil
}

func (p *fileCredentials) readDirectory(dir string, files []os.FileInfo) (*secret, error) {
	var values []string
	for i, name := range []string{userName, passwordName} {
		text, err := p.text(filepath.Join(dir, name), name, files[i])
		if err != nil {
			return nil, err
		}
		value := strings.TrimRight(string(text), "\r\n")
		if value == "" {
			return nil, p.wrong(name, "it is empty")
		}
		values = append(values, value)
	}
	return newSecret(values[0], values[1], files), nil
}

func newSecret(user, password string, files []os.FileInfo) *secret {
	return &secret{user: user, password: func() string { return password }, files: files}
}

// longestSecret bounds what is read: Kubernetes and AWS allow less.
const longestSecret = 1 << 20

// text reads one file, which found is about.
func (p *fileCredentials) text(path, key string, found os.FileInfo) ([]byte, error) {
	if !found.Mode().IsRegular() { // opening a pipe takes as long as its other end likes
		return nil, p.wrong(key, "it is no file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, p.wrong(key, fileProblem(err))
	}
	defer func() { _ = f.Close() }() // nothing was written
	text, err := io.ReadAll(io.LimitReader(f, longestSecret+1))
	switch {
	case err != nil:
		return nil, p.wrong(key, fileProblem(err))
	case len(text) > longestSecret:
		return nil, p.wrong(key, "it is longer than any secret")
	}
	return text, nil
}
