package translate

import (
	commonfault "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/common/fault/v3"
	httpfault "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/fault/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	networking "istio.io/api/networking/v1alpha3"
)

const faultFilter = "envoy.filters.http.fault"

// fault delays or aborts a share of the requests; nil when it does neither.
func fault(f *networking.HTTPFaultInjection) *httpfault.HTTPFault {
	out := &httpfault.HTTPFault{}
	if d := f.GetDelay(); d.GetFixedDelay() != nil {
		out.Delay = &commonfault.FaultDelay{
			FaultDelaySecifier: &commonfault.FaultDelay_FixedDelay{FixedDelay: d.GetFixedDelay()},
			Percentage:         faultShare(d.Percentage, d.Percent), //nolint:staticcheck // users still write the old field
		}
	}
	switch kind := f.GetAbort().GetErrorType().(type) {
	case *networking.HTTPFaultInjection_Abort_HttpStatus:
		out.Abort = &httpfault.FaultAbort{ErrorType: &httpfault.FaultAbort_HttpStatus{HttpStatus: uint32(kind.HttpStatus)}}
	case *networking.HTTPFaultInjection_Abort_GrpcStatus:
		code, ok := grpcCodes[kind.GrpcStatus]
		if ok {
			out.Abort = &httpfault.FaultAbort{ErrorType: &httpfault.FaultAbort_GrpcStatus{GrpcStatus: code}}
		}
	}
	if out.Abort != nil {
		out.Abort.Percentage = faultShare(f.Abort.Percentage, 0)
	}
	if out.Delay == nil && out.Abort == nil {
		return nil
	}
	return out
}

// faultShare is the share of requests that suffer: none when nothing is said.
func faultShare(p *networking.Percent, whole int32) *typev3.FractionalPercent {
	if p != nil {
		return percent(p.Value)
	}
	return percent(float64(whole))
}

// grpcCodes are gRPC's statuses by the names that users write.
var grpcCodes = map[string]uint32{
	"OK": 0, "CANCELLED": 1, "UNKNOWN": 2, "INVALID_ARGUMENT": 3, "DEADLINE_EXCEEDED": 4, "NOT_FOUND": 5, "ALREADY_EXISTS": 6,
	"PERMISSION_DENIED": 7, "RESOURCE_EXHAUSTED": 8, "FAILED_PRECONDITION": 9, "ABORTED": 10, "OUT_OF_RANGE": 11,
	"UNIMPLEMENTED": 12, "INTERNAL": 13, "UNAVAILABLE": 14, "DATA_LOSS": 15, "UNAUTHENTICATED": 16,
}
