package servers

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/prefork/cluster/internal/testcert"
)

// Lab is what the servers of a script have in common: programs, a certificate, an address.
type Lab struct {
	Dir     string // for files, in $TMPDIR; removed by Close
	Address string // host:port, free when the lab was made
	program string // of the script
	cluster string
}

// NewLab builds the command cluster; it must be called in the folder of the module.
func NewLab() (*Lab, error) {
	dir, err := os.MkdirTemp("", "measure")
	if err != nil {
		return nil, err
	}
	lab := &Lab{Dir: dir, cluster: filepath.Join(dir, "cluster")}
	if err := lab.furnish(); err != nil {
		lab.Close()
		return nil, err
	}
	return lab, nil
}

func (lab *Lab) furnish() (err error) {
	if lab.program, err = os.Executable(); err != nil {
		return err
	}
	if out, err := exec.Command("go", "build", "-o", lab.cluster, "./cmd/cluster").CombinedOutput(); err != nil {
		return fmt.Errorf("build: %w\n%s", err, out)
	}
	if err := os.Mkdir(lab.collected(), 0o700); err != nil {
		return err
	}
	authority, err := testcert.NewAuthority()
	if err != nil {
		return err
	}
	certificate, key, err := authority.Issue(365*24*time.Hour, "localhost")
	if err != nil {
		return err
	}
	if err := os.WriteFile(lab.certificate(), certificate, 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(lab.key(), key, 0o600); err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	lab.Address = l.Addr().String()
	return l.Close()
}

// Close removes the files.
func (lab *Lab) Close() { os.RemoveAll(lab.Dir) }

// Program is how cluster start is told to run the script's own program, in one of the two ways for workers.
func (lab *Lab) Program(how string) []string { return []string{"--", lab.program, verb, how} }

func (lab *Lab) certificate() string { return filepath.Join(lab.Dir, "cert.pem") }
func (lab *Lab) key() string         { return filepath.Join(lab.Dir, "key.pem") }
func (lab *Lab) control() string     { return filepath.Join(lab.Dir, "control.sock") }
func (lab *Lab) collected() string   { return filepath.Join(lab.Dir, "collected") }

// TCP is the bind of a cluster on the lab's address.
func (lab *Lab) TCP() string { return "tcp://" + lab.Address }

// TLS is the same with TLS.
func (lab *Lab) TLS() string {
	return "tls://" + lab.Address + "?cert=" + lab.certificate() + "&key=" + lab.key()
}
