package redistest

import "strings"

// RightMissing reports whether an error of a server says that the user has no right
// to a command or a key. In scripts Redis 7.0 and older word it differently from
// later ones and Valkey, and without the prefix NOPERM.
func RightMissing(err error) bool {
	if err == nil {
		return false
	}
	for _, text := range []string{"NOPERM", "The user executing the script can't", "ACL failure in script"} {
		if strings.Contains(err.Error(), text) {
			return true
		}
	}
	return false
}
