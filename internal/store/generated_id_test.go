package store

import (
	"testing"

	"github.com/google/uuid"
)

func TestGeneratedIDsAreRecognised(t *testing.T) {
	for range 1000 {
		id, err := NewID()
		if err != nil {
			t.Fatal(err)
		}
		u, err := uuid.Parse(id)
		if err != nil || u.Version() != 4 || u.Variant() != uuid.RFC4122 {
			t.Fatalf("%q is not a random UUID: %v", id, err)
		}
		if !IsGeneratedID(id) {
			t.Fatalf("%q does not count as a generated ID", id)
		}
		if IsGeneratedID("{"+id+"}") || IsGeneratedID("urn:uuid:"+id) {
			t.Fatalf("another form of %q counts as a generated ID", id)
		}
	}
	for _, id := range []string{"", "i-1", "123e4567-e89b-42d3-a456-426614174000", "urn:uuid:123e4567-e89b-42d3-a456-426614174000"} {
		if IsGeneratedID(id) {
			t.Errorf("%q counts as a generated ID", id)
		}
	}
}
