package mysqld

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Password is the password of the user root of every server that this package starts.
// It is a fixed word, so that tests can look for it where no password may be.
const Password = "fp-Sesame-4711"

// recipe is part of a template's key: raise it when anything in this file changes what
// a template holds.
const recipe = 1

// accounts is what the template's server executes when it first starts.
func (f Flavor) accounts() string {
	var b strings.Builder
	if f == FlavorMariaDB {
		// mariadb-install-db makes root accounts for this host's names and addresses,
		// which come before '%' when a client is matched.
		b.WriteString("DELETE FROM mysql.global_priv WHERE User = '' OR (User = 'root' AND Host <> 'localhost');\n" +
			"DELETE FROM mysql.proxies_priv WHERE Host <> 'localhost';\n" +
			"FLUSH PRIVILEGES;\n")
	}
	fmt.Fprintf(&b, "ALTER USER 'root'@'localhost' IDENTIFIED BY '%s';\n", Password)
	fmt.Fprintf(&b, "CREATE USER 'root'@'%%' IDENTIFIED BY '%s';\n", Password)
	b.WriteString("GRANT ALL PRIVILEGES ON *.* TO 'root'@'%' WITH GRANT OPTION;\n")
	return b.String()
}

// templateName tells apart everything that a template depends on.
func (i installation) templateName() (string, error) {
	path := filepath.Join(i.root, i.binary)
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("mysqld: %w", err)
	}
	key := fmt.Sprintln(recipe, path, info.Size(), info.ModTime().UnixNano(), os.Getuid(), i.basics(""), i.flavor.accounts())
	return fmt.Sprintf("%s-%x", i.flavor, sha256.Sum256([]byte(key)))[:len(i.flavor.String())+13], nil
}

// populate fills dir/data from the template, which it makes if there is none yet.
func (i installation) populate(ctx context.Context, dir string) error {
	name, err := i.templateName()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(i.cache, 0o700); err != nil {
		return fmt.Errorf("mysqld: %w", err)
	}
	turn, err := os.OpenFile(filepath.Join(i.cache, i.flavor.String()+".lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("mysqld: %w", err)
	}
	defer turn.Close()
	template := filepath.Join(i.cache, name)
	for exclusive := false; ; exclusive = true {
		if _, err := lock(turn, exclusive, true); err != nil {
			return err
		}
		if _, err := os.Stat(template); err == nil {
			if err := os.CopyFS(filepath.Join(dir, dataName), os.DirFS(template)); err != nil {
				return fmt.Errorf("mysqld: copy the template: %w", err)
			}
			return nil
		}
		if exclusive {
			if err := i.makeTemplate(ctx, template); err != nil {
				return err
			}
		}
	}
}

// makeTemplate fills a data directory, gives root its password, lets the server make
// its certificates and shuts it down cleanly. The caller has the lock.
func (i installation) makeTemplate(ctx context.Context, template string) error {
	old, _ := filepath.Glob(filepath.Join(i.cache, i.flavor.String()+"-*"))
	for _, dir := range old { // of other versions, or half made
		os.RemoveAll(dir)
	}
	dir := template + ".new"
	data := filepath.Join(dir, dataName)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("mysqld: %w", err)
	}
	defer os.RemoveAll(dir)
	if err := i.initialize(ctx, dir, data); err != nil {
		return err
	}
	script := filepath.Join(dir, "accounts.sql")
	if err := os.WriteFile(script, []byte(i.flavor.accounts()), 0o600); err != nil {
		return fmt.Errorf("mysqld: %w", err)
	}
	s := newServer(i, dir, Options{Args: []string{"--init-file=" + i.inside(script)}})
	if err := s.start(ctx); err != nil {
		return err
	}
	defer s.Kill()
	if err := s.Stop(); err != nil {
		return err
	}
	// Each copy makes up a server_uuid of its own.
	if err := os.RemoveAll(filepath.Join(data, "auto.cnf")); err != nil {
		return fmt.Errorf("mysqld: %w", err)
	}
	if err := os.Rename(data, template); err != nil {
		return fmt.Errorf("mysqld: %w", err)
	}
	return nil
}

// initialize fills an empty data directory by the server's own means.
func (i installation) initialize(ctx context.Context, dir, data string) error {
	args := append(i.basics(i.inside(data)), "--tmpdir="+i.inside(dir))
	if i.flavor == FlavorMariaDB {
		args = append(args, "--skip-test-db", "--auth-root-authentication-method=normal", "--skip-name-resolve")
		return i.runLogged(ctx, dir, i.install, args...)
	}
	return i.runLogged(ctx, dir, i.binary, append(args, "--initialize-insecure")...)
}
