package xds

import (
	"testing"

	"github.com/lateenmesh/lateen/control/mesh"
)

// The sentences in the cases' comments are the xDS protocol's.
func TestDelta(t *testing.T) {
	for _, c := range []struct{ name, script string }{
		{"a first request without names gets everything", `
			// "in incremental, having never sent a request on the stream for that resource type with a
			// non-empty resource_names_subscribe field […] identically to […] explicitly subscribed to *"
			= CDS a@1 b@1
			> CDS
			< CDS#1 a@1 b@1
			> CDS ack 1`},
		{"a first request is answered even if there is nothing", `
			> CDS
			< CDS#1
			> CDS ack 1`},
		{"only what changed is sent", `
			// "it does not need to resend the 99 resources that have not changed"
			= CDS a@1 b@1 c@1
			> CDS
			< CDS#1 a@1 b@1 c@1
			> CDS ack 1
			= CDS a@1 b@2 d@1
			< CDS#2 b@2 d@1 -c`},
		{"one response is in flight, changes behind it are merged", `
			= CDS a@1
			> CDS
			< CDS#1 a@1
			= CDS a@2
			= CDS a@3 b@1
			= CDS a@4 b@1
			> CDS ack 1
			< CDS#2 a@4 b@1
			= CDS a@5 b@1
			= CDS a@4 b@1
			> CDS ack 2`},
		{"names are subscribed to and unsubscribed from", `
			= EDS a@1 b@1 c@1
			> EDS +a
			< EDS#1 a@1
			> EDS ack 1
			= EDS a@1 b@2 c@1
			> EDS +b
			< EDS#2 b@2
			> EDS ack 2 -a
			= EDS a@2 b@2 c@2
			> EDS -b`},
		{"a subscription is always answered", `
			// "The server must respond with all resources listed in resource_names_subscribe, even if it
			// believes the client has the most recent version of them."
			= EDS a@1
			> EDS +a
			< EDS#1 a@1
			> EDS ack 1
			> EDS +a
			< EDS#2 a@1
			> EDS +a
			> EDS ack 2
			< EDS#3 a@1`},
		{"a name that does not exist is said to be removed, and sent when it does", `
			// "Management servers must remember the set of resources being requested by the client, and if one
			// of those resources springs into existence later, the server must send an update"
			= RDS a@1
			> RDS +a +b
			< RDS#1 a@1 -b
			> RDS ack 1
			= RDS a@1 b@1
			< RDS#2 b@1`},
		{"a first request for names gets no more than those", `
			= CDS a@1 b@1
			> CDS +a
			< CDS#1 a@1
			> CDS ack 1
			= CDS a@1 b@2`},
		{"a name beside the wildcard", `
			// "Client sends a request with resource_names_subscribe set to A. Server interprets this as continuing
			// the existing subscription to * and adding a new subscription to A."
			= CDS A@1 b@1
			> CDS
			< CDS#1 A@1 b@1
			> CDS ack 1 +A
			< CDS#2 A@1
			> CDS ack 2
			= CDS A@1 b@2
			< CDS#3 b@2
			> CDS ack 3
			// "resource_names_unsubscribe set to *. Server interprets this as unsubscribing to * and continuing
			// the existing subscription to A."
			> CDS -*
			= CDS A@2 b@3
			< CDS#4 A@2
			> CDS ack 4
			// "Although the set of subscribed resources is now empty […] it is not interpreted as a wildcard"
			> CDS -A
			= CDS A@3 b@3`},
		{"a name that the wildcard still covers is answered when it is unsubscribed", `
			= CDS A@1
			> CDS +* +A
			< CDS#1 A@1
			> CDS ack 1 -A
			< CDS#2 A@1`},
		{"a stale nonce acknowledges nothing", `
			// "A nonce becomes stale following a newer nonce being presented to Envoy"
			= CDS a@1
			> CDS
			< CDS#1 a@1
			> CDS ack 1
			= CDS a@2
			< CDS#2 a@2
			> CDS ack 1
			= CDS a@3
			> CDS ack 2
			< CDS#3 a@3`},
		{"a stale request may still subscribe", `
			= EDS a@1 b@1
			> EDS +a
			< EDS#1 a@1
			> EDS ack 0 +b
			> EDS ack 1
			< EDS#2 b@1`},
		{"who reconnects is sent only differences", `
			= CDS a@1 b@2 d@1
			> CDS have a@1 b@1 c@1
			< CDS#1 b@2 d@1
			> CDS ack 1
			// what is removed goes when it is known that no listener or route needs it
			> LDS have l@1
			< LDS#2 -l
			> RDS
			> LDS ack 2
			< CDS#3 -c`},
		{"who reconnects and has no routes is waited for only so long", `
			= CDS a@1
			> CDS have a@1 b@1
			> LDS
			< LDS#1
			> LDS ack 1
			~
			< CDS#2 -b`},
		{"who reconnects and has everything is sent nothing", `
			= CDS a@1 b@1
			= EDS a@1 b@1
			= LDS l@1
			= RDS r@1
			> CDS have a@1 b@1
			> EDS +a +b have a@1 b@1
			> LDS have l@1
			> RDS +r have r@1
			= CDS a@1 b@1 
			= EDS a@1 b@2
			< EDS#1 b@2`},
		{"who reconnects lost a resource that is gone", `
			= EDS a@1
			> EDS +a +b have a@1 b@1
			< EDS#1 -b`},
		{"unsubscribed while in flight", `
			= EDS a@1 b@1
			> EDS +a +b
			< EDS#1 a@1 b@1
			> EDS -a
			> EDS ack 1
			= EDS a@2 b@1
			> EDS +a
			< EDS#2 a@2`},
		{"secrets and unknown types wait for nobody", `
			= CDS a@1
			= SDS s@1
			> CDS
			< CDS#1 a@1
			> SDS +s
			< SDS#2 s@1`},
	} {
		t.Run(c.name, func(t *testing.T) { play(t, Delta, c.script) })
	}
}

func TestRefusal(t *testing.T) {
	for _, c := range []struct{ name, script string }{
		{"a refused version is not sent again, a newer one is", `
			= CDS a@1
			> CDS
			< CDS#1 a@1
			> CDS ack 1
			= CDS a@2
			< CDS#2 a@2
			> CDS nack 2 no good
			! CDS a
			= CDS a@2 b@1
			< CDS#3 b@1
			> CDS ack 3
			= CDS a@3 b@1
			< CDS#4 a@3`},
		{"going back to the version that the client kept sends nothing", `
			= CDS a@1
			> CDS
			< CDS#1 a@1
			> CDS ack 1
			= CDS a@2
			< CDS#2 a@2
			> CDS nack 2 no good
			! CDS a
			= CDS a@1
			= CDS a@2`},
		{"the name in the text is the culprit, the innocent go out again", `
			= LDS good@1 bad@1 fine@1
			> LDS
			< LDS#1 bad@1 fine@1 good@1
			> LDS nack 1 Error adding/updating listener(s) bad: field x
			! LDS bad
			< LDS#2 fine@1 good@1
			> LDS ack 2`},
		{"without a name, smaller responses find it", `
			= LDS a@1 b@1 c@1 d@1
			> LDS
			< LDS#1 a@1 b@1 c@1 d@1
			> LDS nack 1 oops
			! LDS ?
			< LDS#2 a@1 b@1
			> LDS ack 2
			< LDS#3 c@1 d@1
			> LDS nack 3 oops
			! LDS ?
			< LDS#4 c@1
			> LDS nack 4 oops
			! LDS c
			< LDS#5 d@1
			> LDS ack 5
			= LDS a@2 b@2 c@1 d@2
			< LDS#6 a@2 b@2 d@2`},
		{"a route is named in quotes only", `
			= RDS 80@1 9080@1
			> RDS +80 +9080
			< RDS#1 80@1 9080@1
			> RDS nack 1 virtual host reviews:80: route "9080" is odd
			! RDS 9080
			< RDS#2 80@1`},
		{"asking again for what was refused sends it again", `
			= EDS a@1
			> EDS +a
			< EDS#1 a@1
			> EDS nack 1 no
			! EDS a
			> EDS +a
			< EDS#2 a@1`},
		{"a refused removal is not repeated", `
			= LDS a@1
			> LDS
			< LDS#1 a@1
			> LDS ack 1
			= LDS
			< LDS#2 -a
			> LDS nack 2 no
			! LDS ?`},
	} {
		t.Run(c.name, func(t *testing.T) { play(t, Delta, c.script) })
	}
}

func TestOrder(t *testing.T) {
	connected := `
		= CDS a@1
		= EDS a@1
		= LDS l@1
		= RDS r@1
		> CDS
		< CDS#1 a@1
		> CDS ack 1
		> EDS +a
		< EDS#2 a@1
		> EDS ack 2
		> LDS
		< LDS#3 l@1
		> LDS ack 3
		> RDS +r
		< RDS#4 r@1
		> RDS ack 4`
	for _, c := range []struct{ name, script string }{
		{"a client that asks for all at once gets them in order", `
			= CDS a@1
			= EDS a@1
			= LDS l@1
			= RDS r@1
			> RDS +r
			< RDS#1 r@1
			> LDS
			< LDS#2 l@1
			> EDS +a
			< EDS#3 a@1
			> CDS
			< CDS#4 a@1`},
		{"listeners and routes wait for clusters and their endpoints", connected + `
			= EDS a@1 b@1
			= CDS a@1 b@1
			< CDS#5 b@1
			= RDS r@2
			= LDS l@2
			> CDS ack 5
			> EDS +b
			< EDS#6 b@1
			> EDS ack 6
			< LDS#7 l@2
			> LDS ack 7
			< RDS#8 r@2`},
		{"endpoints of a changed cluster are sent though unchanged", connected + `
			// "Warming of Cluster is completed only when a new ClusterLoadAssignment response is supplied by
			// management server even though there is no change in endpoints."
			= CDS a@2
			< CDS#5 a@2
			< EDS#6 a@1
			= RDS r@2
			> CDS ack 5
			> EDS ack 6
			< RDS#7 r@2`},
		{"endpoints on their way since before the cluster changed do not count", connected + `
			= EDS a@2
			< EDS#5 a@2
			= CDS a@2
			< CDS#6 a@2
			= RDS r@2
			> EDS ack 5
			< EDS#7 a@2
			> CDS ack 6
			> EDS ack 7
			< RDS#8 r@2`},
		{"other endpoints hold nothing up", connected + `
			= EDS a@2
			< EDS#5 a@2
			= RDS r@2
			< RDS#6 r@2`},
		{"a cluster goes after the last route to it has gone", connected + `
			// "Stale CDS clusters and related EDS endpoints (ones no longer being referenced) can then be removed."
			= CDS a@1 b@1
			< CDS#5 b@1
			> CDS ack 5
			= RDS r@2
			< RDS#6 r@2
			= CDS b@1
			> RDS ack 6
			< CDS#7 -a
			> CDS ack 7 
			> EDS -a`},
		{"a cluster stays while the client refuses the route that leaves it", connected + `
			= CDS a@1 b@1
			< CDS#5 b@1
			> CDS ack 5
			= RDS r@2
			< RDS#6 r@2
			> RDS nack 6 no
			! RDS r
			= CDS b@1
			= RDS r@3
			< RDS#7 r@3
			> RDS ack 7
			< CDS#8 -a`},
		{"endpoints go after their cluster", connected + `
			= CDS
			< CDS#5 -a
			= EDS
			> CDS ack 5
			< EDS#6 -a`},
		{"a refused cluster does not hold the rest for ever", connected + `
			= CDS a@2
			< CDS#5 a@2
			< EDS#6 a@1
			> EDS ack 6
			= LDS l@2
			> CDS nack 5 no
			! CDS a
			< LDS#7 l@2`},
		{"who never asks for endpoints is waited for only so long", connected + `
			= EDS a@1 b@1
			= CDS a@1 b@1
			< CDS#5 b@1
			= RDS r@2
			> CDS ack 5
			~
			< RDS#6 r@2`},
		{"a warm cluster that vanishes is not waited for", connected + `
			= EDS a@1 b@1
			= CDS a@1 b@1
			< CDS#5 b@1
			= RDS r@2
			> CDS ack 5
			= CDS a@1
			< RDS#6 r@2
			> RDS ack 6
			< CDS#7 -b`},
	} {
		t.Run(c.name, func(t *testing.T) { play(t, Delta, c.script) })
	}
}

func TestStateOfTheWorld(t *testing.T) {
	for _, c := range []struct{ name, script string }{
		{"listeners and clusters come complete", `
			// "if the server has previously sent 100 resources and only one of them has changed, it must resend all"
			= CDS a@1 b@1
			> CDS
			< CDS#1 a@1 b@1
			> CDS ack 1
			= CDS a@1 b@2
			< CDS#2 a@1 b@2
			> CDS ack 2
			= CDS b@2
			< CDS#3 b@2
			> CDS ack 3`},
		{"others bring what changed", `
			= EDS a@1 b@1 c@1
			> EDS a,b
			< EDS#1 a@1 b@1
			> EDS ack 1 a,b
			= EDS a@1 b@2 c@2
			< EDS#2 b@2
			> EDS ack 2 a,b
			// "the server must resend any newly requested resources"
			> EDS ack 2 a,b,c
			< EDS#3 c@2
			> EDS ack 3 a,b,c
			> EDS ack 3 b,c
			= EDS a@2 b@2 c@2`},
		{"a stale request is ignored", `
			// "the management server should not send a DiscoveryResponse for any DiscoveryRequest that has a stale nonce"
			= EDS a@1 b@1
			> EDS a
			< EDS#1 a@1
			> EDS ack 1 a
			= EDS a@2 b@1
			< EDS#2 a@2
			> EDS ack 1 a,b
			> EDS ack 2 a,b
			< EDS#3 b@1`},
		{"an empty list means all, until names were used", `
			= CDS A@1 b@1
			> CDS
			< CDS#1 A@1 b@1
			> CDS ack 1 *,A
			= CDS A@1 b@2
			< CDS#2 A@1 b@2
			> CDS ack 2 A
			= CDS A@2 b@3
			< CDS#3 A@2
			// "Although this request is identical to the first one, it is not interpreted as a wildcard"
			> CDS ack 3
			= CDS A@3 b@4`},
		{"a refused resource is sent as the client kept it", `
			= CDS a@1 b@1
			> CDS
			< CDS#1 a@1 b@1
			> CDS ack 1
			= CDS a@2 b@2
			< CDS#2 a@2 b@2
			> CDS nack 2 cluster a: bad
			! CDS a
			< CDS#3 a@1 b@2
			> CDS ack 3
			= CDS a@3 b@2
			< CDS#4 a@3 b@2`},
		{"a cluster on its way out is sent until the routes have gone", `
			= CDS a@1
			= RDS r@1
			> CDS
			< CDS#1 a@1
			> CDS ack 1
			> RDS r
			< RDS#2 r@1
			> RDS ack 2 r
			= RDS r@2
			< RDS#3 r@2
			= CDS b@1
			< CDS#4 a@1 b@1
			> CDS ack 4
			> RDS ack 3 r
			< CDS#5 b@1`},
		{"a first request is answered even if there is nothing", `
			> LDS
			< LDS#1
			> LDS ack 1`},
		{"a name that does not exist is sent when it does", `
			> RDS r
			= RDS r@1
			< RDS#1 r@1`},
		{"endpoints that are gone are not said to be", `
			= EDS a@1
			> EDS a
			< EDS#1 a@1
			> EDS ack 1 a
			= EDS
			= EDS a@1
			< EDS#2 a@1`},
	} {
		t.Run(c.name, func(t *testing.T) { play(t, StateOfTheWorld, c.script) })
	}
}

// A client that holds what it should shares the snapshot's table: a stream
// costs no copy of its names.
func TestSharedTable(t *testing.T) {
	p := play(t, Delta, `
		= CDS a@1 b@1
		> CDS have a@1 b@1`)
	if got, want := p.typed(mesh.ClusterType).have, p.table(mesh.ClusterType); got != want {
		t.Errorf("stream holds its own table %p, want the snapshot's %p", got, want)
	}
}
