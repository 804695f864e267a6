package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/parser"
)

// readUsers reads a YAML file of lines USER: PASSWORD. Errors show no password.
func readUsers(path string) (map[string]string, error) {
	src, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	file, err := parser.ParseBytes(src, 0)
	if err != nil {
		var at yaml.Error // its text may quote the file
		if errors.As(err, &at) && at.GetToken() != nil {
			return nil, fmt.Errorf("%s:%d: it is not YAML: want lines of USER: PASSWORD", path, at.GetToken().Position.Line)
		}
		return nil, fmt.Errorf("%s: it is not YAML: want lines of USER: PASSWORD", path)
	}
	users := make(map[string]string)
	for _, doc := range file.Docs {
		entries, err := mapping(doc.Body)
		if err != nil {
			return nil, fmt.Errorf("%s: want lines of USER: PASSWORD", path)
		}
		for _, e := range entries {
			user := e.Key.GetToken().Value
			at := fmt.Sprintf("%s:%d: user %q", path, e.Key.GetToken().Position.Line, user)
			password, list, err := scalars(e.Value)
			_, twice := users[user]
			switch {
			case err != nil || list:
				return nil, fmt.Errorf("%s: want one password", at)
			case password[0] == "":
				return nil, fmt.Errorf("%s has no password", at)
			case twice:
				return nil, fmt.Errorf("%s is there twice", at)
			case user == "" || strings.ContainsAny(user, "/@"):
				return nil, fmt.Errorf("%s: a name can't be empty, nor have a slash or an at sign in it", at)
			}
			users[user] = password[0]
		}
	}
	if len(users) == 0 {
		return nil, fmt.Errorf("%s has no users: want lines of USER: PASSWORD", path)
	}
	return users, nil
}
