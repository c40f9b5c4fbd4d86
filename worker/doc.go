// Package worker is what an application imports to run under cluster: Serve(handler) joins the cluster, serves the
// inherited listeners with a pool of threads, and returns when the worker has been drained. Started by hand the same
// program serves alone.
//
//	func main() {
//		if err := worker.Serve(handler); err != nil {
//			log.Fatal(err)
//		}
//	}
//
// Invariant: a request whose first byte has reached this process is answered by it. A draining worker therefore never
// closes a connection that may still speak: it stops accepting, answers the next request of each connection with
// "Connection: close", and closes a silent one only after --drain-idle and a last look for unread bytes.
// http.Server.Shutdown, which does close such connections, is not called while one is open.
//
// The package is light: it imports neither a command line nor a metrics library. What it counts goes to the scoreboard,
// where the master reads it.
package worker
