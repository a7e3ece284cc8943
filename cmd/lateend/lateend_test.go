package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/structpb"
	admissionv1 "k8s.io/api/admission/v1"
	authv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	ktesting "k8s.io/client-go/testing"

	"github.com/lateenmesh/lateen/agent/certs"
	"github.com/lateenmesh/lateen/control/mesh"
)

// still is a pipeline that has one snapshot and never changes.
type still struct{ snap *mesh.Snapshot }

func (s still) Attach(mesh.Proxy) (mesh.Feed, error) { return s, nil }
func (s still) Snapshot() *mesh.Snapshot             { return s.snap }
func (s still) Changed() <-chan struct{}             { return nil }
func (s still) Close()                               {}
func (s still) Run(ctx context.Context) error        { <-ctx.Done(); return nil }
func (s still) Ready() bool                          { return true }
func (s still) MeshConfig() *mesh.Config             { return &mesh.Config{} }
func (s still) Validate(*unstructured.Unstructured) ([]string, error) {
	return nil, nil
}

// kube is a fake API server that knows the token "good" of shop/cart.
func kube() *fake.Clientset {
	c := fake.NewClientset(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop", Labels: map[string]string{"istio-injection": "enabled"}}})
	c.PrependReactor("create", "tokenreviews", func(a ktesting.Action) (bool, runtime.Object, error) {
		r := a.(ktesting.CreateAction).GetObject().(*authv1.TokenReview).DeepCopy()
		if r.Spec.Token == "good" {
			r.Status = authv1.TokenReviewStatus{Authenticated: true, User: authv1.UserInfo{Username: "system:serviceaccount:shop:cart"}}
		}
		return true, r, nil
	})
	return c
}

func settingsFor(t *testing.T, env map[string]string, args ...string) settings {
	t.Helper()
	s, err := readSettings(args, func(k string) (string, bool) { v, ok := env[k]; return v, ok })
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// free finds a port of the loopback address that nobody uses.
func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// A workload starts: it gets a certificate by its token, connects with it,
// and is sent its configuration; the API server has a pod injected; the
// monitoring pages show it all; the end is graceful.
func TestWhole(t *testing.T) {
	s := settingsFor(t, nil)
	s.XDS, s.SecureXDS, s.Monitoring, s.HTTP, s.HTTPS = free(t), free(t), free(t), "", free(t)
	s.Webhooks = true
	r, err := mesh.NewResource("c", mesh.ClusterType, &cluster.Cluster{Name: "c"})
	if err != nil {
		t.Fatal(err)
	}
	snap := &mesh.Snapshot{Tables: map[string]*mesh.Table{mesh.ClusterType: mesh.NewTable([]*mesh.Resource{r})}}
	client := kube()
	p, err := assemble(t.Context(), s, client, still{snap}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	var running sync.WaitGroup
	running.Go(func() { ended <- p.serve(ctx) })
	defer running.Wait()
	defer cancel()

	secret := certificate(t, s, string(p.keeper.Authority().Roots()))
	stream := connect(t, s, secret)
	resp, err := stream.Recv()
	if err != nil || len(resp.Resources) != 1 || resp.Resources[0].Name != "c" {
		t.Fatalf("configuration %v, %v; want cluster c", resp, err)
	}
	if patch := injected(t, s, secret.Roots); !strings.Contains(patch, "istio-proxy") {
		t.Errorf("pod injected with %s", patch)
	}
	for path, want := range map[string]string{
		"/ready": "", "/version": "dev", "/debug/syncz": `"proxy": "cart-1.shop"`, "/debug/config_dump?proxyID=cart-1.shop": "ClustersConfigDump",
		"/metrics": "citadel_server_success_cert_issuance_count 1\n", "/debug/mesh": "{",
	} {
		if body := get(t, "http://"+s.Monitoring+path); !strings.Contains(body, want) {
			t.Errorf("%s answers %q, want %q in it", path, body, want)
		}
	}
	if m, err := client.AdmissionregistrationV1().MutatingWebhookConfigurations().Get(ctx, "istio-sidecar-injector", metav1.GetOptions{}); err != nil || len(m.Webhooks) != 4 {
		t.Errorf("webhook configuration %v, %v; want four webhooks", m, err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("ended with %v", err)
	}
	if _, err := stream.Recv(); err == nil {
		t.Error("the stream outlives the server")
	}
}

func certificate(t *testing.T, s settings, root string) certs.Secret {
	t.Helper()
	dir := t.TempDir()
	rootFile, tokenFile := filepath.Join(dir, "root"), filepath.Join(dir, "token")
	for file, text := range map[string]string{rootFile: root, tokenFile: "good"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	source := certs.NewSource(certs.Config{RootFile: rootFile, Signer: certs.Client{
		Address: "istiod.istio-system.svc:15012", RootFile: rootFile, TokenFile: tokenFile,
		Dial: func(ctx context.Context, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", s.SecureXDS)
		},
	}})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var running sync.WaitGroup
	running.Go(func() { _ = source.Run(ctx) })
	defer running.Wait()
	defer cancel()
	changed := source.Changed()
	cert, ok := source.Secret(certs.Default)
	for !ok {
		select {
		case <-changed:
			cert, ok = source.Secret(certs.Default)
		case <-time.After(10 * time.Second):
			t.Fatal("no certificate")
		}
	}
	roots, _ := source.Secret(certs.RootCA)
	cert.Roots = roots.Roots
	return cert
}

func connect(t *testing.T, s settings, secret certs.Secret) discovery.AggregatedDiscoveryService_DeltaAggregatedResourcesClient {
	t.Helper()
	pair, err := tls.X509KeyPair(secret.Chain, secret.Key)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(secret.Roots)
	conn, err := grpc.NewClient("passthrough:"+s.SecureXDS, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{
		RootCAs: pool, ServerName: "istiod.istio-system.svc", Certificates: []tls.Certificate{pair},
	})))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	st, err := discovery.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(metadata.AppendToOutgoingContext(context.WithoutCancel(t.Context()), "x", "y"))
	if err != nil {
		t.Fatal(err)
	}
	meta, _ := structpb.NewStruct(map[string]any{"NAME": "cart-1", "NAMESPACE": "shop", "SERVICE_ACCOUNT": "cart"})
	err = st.Send(&discovery.DeltaDiscoveryRequest{
		TypeUrl: mesh.ClusterType, Node: &core.Node{Id: "sidecar~127.0.0.1~cart-1.shop~shop.svc.cluster.local", Metadata: meta},
	})
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// injected has the webhook inject a pod, as the API server would.
func injected(t *testing.T, s settings, roots []byte) string {
	t.Helper()
	pod, _ := json.Marshal(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app"}}}})
	review, _ := json.Marshal(admissionv1.AdmissionReview{Request: &admissionv1.AdmissionRequest{
		UID: "1", Namespace: "shop", Operation: admissionv1.Create,
		Resource: metav1.GroupVersionResource{Version: "v1", Resource: "pods"}, Object: runtime.RawExtension{Raw: pod},
	}})
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(roots)
	client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, ServerName: "istiod.istio-system.svc"}}}
	defer client.CloseIdleConnections()
	resp, err := client.Post("https://"+s.HTTPS+"/inject", "application/json", strings.NewReader(string(review)))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer admissionv1.AdmissionReview
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	return string(answer.Response.Patch)
}

func get(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("%s: status %d, %v", url, resp.StatusCode, err)
	}
	return string(body)
}

// Flags beat the environment, which beats the defaults.
func TestSettings(t *testing.T) {
	env := map[string]string{"INSTANCE_IP": "127.64.0.9", "POD_NAMESPACE": "mesh", "LATEEN_ROOT": "/r", "REVISION": "blue"}
	s := settingsFor(t, env, "discovery", "--revision=green", "--monitoringAddr=:1")
	if s.Namespace != "mesh" || s.Revision != "green" || s.Root != "/r" || s.listenOn(s.Monitoring) != ":1" || s.TrustDomain != "cluster.local" {
		t.Errorf("settings %v", s)
	}
	env["LATEEN_EXPLICIT"] = "1"
	if s = settingsFor(t, env); s.listenOn(s.XDS) != "127.64.0.9:15010" {
		t.Errorf("explicit mode listens on %s, want the instance's address", s.listenOn(s.XDS))
	}
	if s = settingsFor(t, nil, "--bind", "127.0.0.3"); s.listenOn(s.XDS) != "127.0.0.3:15010" {
		t.Errorf("--bind listens on %s", s.listenOn(s.XDS))
	}
	if !strings.Contains(s.String(), "TrustDomain=cluster.local\n") {
		t.Errorf("settings print as %s", s)
	}
	for _, args := range [][]string{{"extra"}, {"--bind", "x"}, {"--log-level=loud"}, {"--explicit"}, {"--grpcAddr=x"}} {
		if _, err := readSettings(args, func(string) (string, bool) { return "", false }); err == nil {
			t.Errorf("%v is accepted", args)
		}
	}
}

// A pod's credentials are found below the root.
func TestKubeconfig(t *testing.T) {
	c, err := restConfig(settings{Root: "/r", APIHost: "127.0.0.1", APIPort: "6443"})
	if err != nil || c.Host != "https://127.0.0.1:6443" || c.BearerTokenFile != "/r/var/run/secrets/kubernetes.io/serviceaccount/token" {
		t.Errorf("client of %+v, %v", c, err)
	}
	if _, err := restConfig(settings{}); err == nil || !strings.Contains(err.Error(), "--kubeconfig") {
		t.Errorf("outside a cluster: got %v, want a hint", err)
	}
}
