package awsauth

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// value is what one version of a secret holds. It does not change.
type value struct {
	version        string
	user, password string
}

// likely are names that the keys of a secret have elsewhere.
var likely = map[string][]string{
	"username": {"user", "user_name", "login", "dbuser"},
	"password": {"pass", "passwd", "pwd", "dbpassword"},
}

// parse reads a secret of the form that RDS writes. Its errors name keys and quote nothing.
func parse(text []byte) (user, password string, err error) {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(text, &object); err != nil || object == nil {
		return "", "", errors.New(`it is no JSON object such as {"username": …, "password": …}`)
	}
	if user, err = member(object, "username"); err != nil {
		return "", "", err
	}
	password, err = member(object, "password")
	return user, password, err
}

func member(object map[string]json.RawMessage, key string) (string, error) {
	raw, ok := object[key]
	if !ok {
		for name := range object {
			for _, other := range append(likely[key], key) {
				if strings.EqualFold(name, other) {
					return "", fmt.Errorf("it has no key %q, only %q", key, name)
				}
			}
		}
		return "", fmt.Errorf("it has no key %q", key)
	}
	var s string
	switch err := json.Unmarshal(raw, &s); {
	case err != nil:
		return "", fmt.Errorf("its key %q is no string", key)
	case s == "":
		return "", fmt.Errorf("its key %q is empty", key)
	}
	return s, nil
}
