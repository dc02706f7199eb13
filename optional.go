package hooks

// mostWrapped bounds how many stores may wrap each other, so that one whose Unwrap
// returns itself does not hold up its caller for ever.
const mostWrapped = 100

// optional returns the optional interface T of a store, such as [Exclusive], and reports
// whether there is one. If the store itself does not have T, that is the T of what its
// method Unwrap returns.
func optional[T any](s Store) (T, bool) {
	for range mostWrapped {
		if found, ok := s.(T); ok {
			return found, true
		}
		wrapper, ok := s.(interface{ Unwrap() Store })
		if !ok {
			break
		}
		s = wrapper.Unwrap()
	}
	var none T
	return none, false
}
