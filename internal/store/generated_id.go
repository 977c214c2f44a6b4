package store

import (
	"encoding/binary"
	"hash/fnv"

	"github.com/google/uuid"
)

// NewID generates an ID: a random UUID whose last four bytes are a checksum of
// the others, by which Generated knows it. 90 random bits are left.
func NewID() (string, error) {
	id, err := uuid.NewRandom()
	if err != nil {
		return "", err
	}
	binary.BigEndian.PutUint32(id[12:], checksum(id))
	return id.String(), nil
}

// Generated reports whether an ID is one that NewID made. Nobody else registers
// it in the first place, so a backend need not look for it under other names. An
// ID that a user made is taken for one once in 2^32, which costs time only.
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
