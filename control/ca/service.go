package ca

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	securityapi "istio.io/api/security/v1alpha1"

	"github.com/lateenmesh/lateen/internal/promtext"
	"github.com/lateenmesh/lateen/model"
)

// Service is Istio's CSR API, istio.v1.auth.IstioCertificateService.
type Service struct {
	securityapi.UnimplementedIstioCertificateServiceServer
	identify  func(context.Context) (model.Identity, error)
	authority func() *Authority
	log       *slog.Logger

	requests, issued, strangers, badRequests, failures promtext.Counter
}

// NewService signs with whatever authority returns, for whoever identify says.
func NewService(authority func() *Authority, identify func(context.Context) (model.Identity, error), log *slog.Logger) *Service {
	return &Service{authority: authority, identify: identify, log: log}
}

// CreateCertificate signs a certificate for the caller. Names in the request
// are ignored: a caller gets its own identity and no other.
func (s *Service) CreateCertificate(ctx context.Context, r *securityapi.IstioCertificateRequest) (*securityapi.IstioCertificateResponse, error) {
	s.requests.Inc("")
	id, err := s.identify(ctx)
	if err != nil {
		s.strangers.Inc("")
		return nil, status.Errorf(codes.Unauthenticated, "request authenticate failure: %v", err)
	}
	for _, key := range []string{"ImpersonatedIdentity", "CertSigner"} {
		if v := r.GetMetadata().GetFields()[key].GetStringValue(); v != "" {
			s.badRequests.Inc("")
			return nil, status.Errorf(codes.InvalidArgument, "metadata %s=%s is not supported: a caller gets its own identity, signed by the mesh's own authority", key, v)
		}
	}
	chain, err := s.authority().SignCSR([]byte(r.GetCsr()), Subject{
		Identity: id, TTL: time.Duration(r.GetValidityDuration()) * time.Second,
	}, time.Now())
	var bad requestError
	switch {
	case errors.As(err, &bad):
		s.badRequests.Inc("")
		return nil, status.Errorf(codes.InvalidArgument, "certificate for %s: %v", id, err)
	case err != nil:
		s.failures.Inc("")
		s.log.Error("certificate not signed", "identity", id.String(), "error", err)
		return nil, status.Errorf(codes.Internal, "certificate for %s: %v", id, err)
	}
	s.issued.Inc("")
	s.log.Debug("certificate signed", "identity", id.String())
	return &securityapi.IstioCertificateResponse{CertChain: chain}, nil
}

// WriteMetrics writes the service's counters in Prometheus' text format, under
// Istio's names.
func (s *Service) WriteMetrics(w io.Writer) {
	s.requests.Write(w, "citadel_server_csr_count", "", "Certificate requests.")
	s.issued.Write(w, "citadel_server_success_cert_issuance_count", "", "Certificates that were signed.")
	s.strangers.Write(w, "citadel_server_authentication_failure_count", "", "Requests from callers who could not say who they are.")
	s.badRequests.Write(w, "citadel_server_csr_parsing_err_count", "", "Requests that could not be understood.")
	s.failures.Write(w, "citadel_server_csr_sign_err_count", "", "Requests that could not be signed.")
	now := time.Now()
	chain, root := s.authority().Expiry()
	promtext.Gauge(w, "citadel_server_root_cert_expiry_timestamp", "When the root ends, in Unix seconds.", float64(root.Unix()))
	promtext.Gauge(w, "citadel_server_root_cert_expiry_seconds", "Seconds until the root ends.", root.Sub(now).Seconds())
	promtext.Gauge(w, "citadel_server_cert_chain_expiry_timestamp", "When the signing certificate ends, in Unix seconds.", float64(chain.Unix()))
	promtext.Gauge(w, "citadel_server_cert_chain_expiry_seconds", "Seconds until the signing certificate ends.", chain.Sub(now).Seconds())
}
