package ca

import (
	"bytes"
	"fmt"
	"time"
)

// The life of a self-made root, as Istio sets it, and the part of it that is
// left when its successor is made.
const (
	rootLife     = 3650 * 24 * time.Hour
	rotateAtLeft = 20 // percent
	// settleTime is how long a new root is only trusted before it signs: by
	// then every workload has renewed and holds the new trust bundle.
	settleTime = 2 * DefaultTTL
)

// State is what the Secret of a self-made root holds, PEM. Cert and Key sign;
// Roots are trusted; Next and NextKey are a root that is trusted but does not
// sign yet.
type State struct {
	Cert, Key, Roots, Next, NextKey []byte
}

// Rotate is the next state of a self-made root, and whether it differs. A root
// is replaced without a broken handshake in three steps, each of which may be
// done by any replica and is done once: the successor is made and trusted; when
// all workloads trust it, it signs; when the old one has ended, it is dropped.
func Rotate(s State, organization string, now time.Time) (State, bool, error) {
	switch {
	case len(s.Cert) == 0:
		cert, key, err := SelfSigned(organization, rootLife, now)
		return State{Cert: cert, Key: key, Roots: cert}, true, err
	case len(s.Next) > 0:
		next, err := parseCertificates(s.Next)
		if err != nil || len(next) == 0 {
			return s, false, fmt.Errorf("read the next root: %w", cmpErr(err))
		}
		if now.Before(next[0].NotBefore.Add(clockSkew + settleTime)) {
			return s, false, nil
		}
		return State{Cert: s.Next, Key: s.NextKey, Roots: join(s.Next, s.Cert)}, true, nil
	}
	signing, err := parseCertificates(s.Cert)
	if err != nil || len(signing) == 0 {
		return s, false, fmt.Errorf("read the root: %w", cmpErr(err))
	}
	life := signing[0].NotAfter.Sub(signing[0].NotBefore)
	if signing[0].NotAfter.Sub(now) < life*rotateAtLeft/100 {
		cert, key, err := SelfSigned(organization, rootLife, now)
		if err != nil {
			return s, false, err
		}
		s.Roots, s.Next, s.NextKey = join(s.trusted(), cert), cert, key
		return s, true, nil
	}
	return s.prune(now)
}

// prune drops roots that have ended.
func (s State) prune(now time.Time) (State, bool, error) {
	roots, err := parseCertificates(s.trusted())
	if err != nil {
		return s, false, fmt.Errorf("read the trusted roots: %w", err)
	}
	var kept []byte
	dropped := false
	for _, r := range roots {
		if now.After(r.NotAfter) {
			dropped = true
			continue
		}
		kept = append(kept, encode(r)...)
	}
	if !dropped || len(kept) == 0 {
		return s, false, nil
	}
	s.Roots = kept
	return s, true, nil
}

func (s State) trusted() []byte {
	if len(s.Roots) > 0 {
		return s.Roots
	}
	return s.Cert
}

func join(a, b []byte) []byte {
	return append(append(bytes.TrimRight(bytes.Clone(a), "\n"), '\n'), b...)
}
