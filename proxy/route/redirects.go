package route

import (
	"slices"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// Redirects says which redirects of upstreams are followed here instead of by the
// client.
type Redirects struct {
	Max      uint32 // of one request
	Statuses []int
	// CrossScheme follows from http to https and back; SafeCross not from http to
	// https.
	CrossScheme, SafeCross bool
	// NotAgain follows no redirect from one route to another twice.
	NotAgain bool
	// Among are lists of names of routes that a redirect may lead to: all have to have
	// it.
	Among [][]string
	// Copy are fields of the redirect that the request takes over, also when they are
	// missing.
	Copy []string
	// Table is where the route is chosen.
	Table *Current
}

// Follows reports whether a response of that status is followed.
func (p *Redirects) Follows(status int) bool { return slices.Contains(p.Statuses, status) }

// Allows reports whether a redirect may lead where it does. before are the ones that
// were followed.
func (p *Redirects) Allows(hop stream.Hop, before []stream.Hop, fromSecure, toSecure bool) bool {
	if p.SafeCross && toSecure && !fromSecure || p.NotAgain && slices.Contains(before, hop) {
		return false
	}
	return !slices.ContainsFunc(p.Among, func(names []string) bool { return !slices.Contains(names, hop.To) })
}
