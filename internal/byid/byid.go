// Package byid finds an element of lists by its ID.
package byid

// Find returns the first element with an ID, in the order of the lists, or nil. idOf
// returns an element's ID. The result points into its list.
func Find[E any](id string, idOf func(*E) string, lists ...[]E) *E {
	for _, list := range lists {
		for i := range list {
			if e := &list[i]; idOf(e) == id {
				return e
			}
		}
	}
	return nil
}
