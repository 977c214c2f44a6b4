package store

import (
	"encoding/binary"
	"hash/fnv"

	"github.com/google/uuid"
)

// NewID generates an ID: a random UUID whose last four bytes are a checksum of
// the others, by which IsGeneratedID recognises it. 90 bits are random.
func NewID() (string, error) {
	id, err := uuid.NewRandom()
	if err != nil {
		return "", err
	}
	binary.BigEndian.PutUint32(id[12:], checksum(id))
	return id.String(), nil
}

// IsGeneratedID reports whether NewID made an ID. A backend keeps no index entry for
// such an ID, since another registry rarely asks for it. One in 2^32 of the IDs that
// users choose counts as generated, which costs time only.
func IsGeneratedID(id string) bool {
	if len(id) != 36 {
		return false
	}
	u, err := uuid.Parse(id)
	return err == nil && binary.BigEndian.Uint32(u[12:]) == checksum(u)
}

func checksum(id uuid.UUID) uint32 {
	h := fnv.New32a()
	h.Write(id[:12])
	return h.Sum32()
}
