package redisstore

import "testing"

func TestRefusalsOfAllVersions(t *testing.T) {
	for word, want := range map[string]string{
		"MISCONF Redis is configured to save":                                          "MISCONF Redis is configured to save",
		"@user_script: 12: -READONLY You can't write against a read only replica.\r\n": "READONLY You can't write against a read only replica.",
		"@user_script: 7: The user executing the script can't run this command":        "The user executing the script can't run this command",
		"-NOREPLICAS Not enough good replicas to write.\r\n":                           "NOREPLICAS Not enough good replicas to write.",
	} {
		if got := refusal(word); got.Error() != want {
			t.Errorf("%q is parsed as %q, want %q", word, got, want)
		}
	}
	if err := refusal(""); err != nil {
		t.Errorf("an accepted write is %v", err)
	}
	for word, want := range map[string]bool{
		"NOPERM User app has no permissions to run the 'pttl' command":                                                                  true,
		"ERR ACL failure in script: User app has no permissions to run the 'pttl' command script: 1919069d, on @user_script:393.":       true,
		"ERR ACL failure in script: User app has no permissions to access one of the keys used as arguments script: 1919069d, on @u:3.": true,
		"ERR The user executing the script can't access at least one of the keys mentioned in the command arguments":                    true,
		"MISCONF Errors writing to the AOF file": false,
	} {
		if got := noPermission(refusal(word)); got != want {
			t.Errorf("%q is a missing right: %t", word, got)
		}
	}
}
