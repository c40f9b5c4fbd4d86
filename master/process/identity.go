package process

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"os"
	"os/user"
	"slices"
	"strconv"
	"syscall"
)

// Identity is who the workers run as. The zero value is the master's own user and groups.
type Identity struct {
	credential *syscall.Credential // nil: the master's own
	name       string              // for messages
	env        []string
}

// Identify finds a user and a group by name or number; either may be empty. A user without a group has its own primary
// group, and always its own supplementary ones. It fails if there is no such user or group, and if this process may not
// start others as that user; to be what it already is it always may.
func Identify(userName, groupName string) (Identity, error) {
	if userName == "" && groupName == "" {
		return Identity{}, nil
	}
	id := Identity{name: "group " + groupName}
	is := syscall.Credential{Uid: uint32(os.Geteuid()), Gid: uint32(os.Getegid())}
	cred := syscall.Credential{Uid: is.Uid, Gid: is.Gid, NoSetGroups: true}
	var primary string
	if userName != "" {
		u, err := findUser(userName)
		if err != nil {
			return Identity{}, err
		}
		if cred.Uid, err = number(u.Uid); err != nil {
			return Identity{}, fmt.Errorf("--user %s: %w", userName, err)
		}
		id.name, id.env = "user "+u.Username, []string{"HOME=" + u.HomeDir, "LOGNAME=" + u.Username, "USER=" + u.Username}
		if cred.Groups, err = supplementary(u); err != nil {
			return Identity{}, fmt.Errorf("--user %s: %w", userName, err)
		}
		cred.NoSetGroups = false
		primary = u.Gid
		if primary == "" && groupName == "" {
			return Identity{}, fmt.Errorf("--user %s is in no user database, so nobody knows its group: give --group too", userName)
		}
	}
	if groupName != "" {
		g, err := findGroup(groupName)
		if err != nil {
			return Identity{}, err
		}
		primary = g
	}
	gid, err := number(primary)
	if err != nil {
		return Identity{}, fmt.Errorf("--group %s: %w", cmp.Or(groupName, primary), err)
	}
	cred.Gid = gid
	if cred.Uid == is.Uid && (groupName == "" || cred.Gid == is.Gid) {
		return id, nil
	}
	if err := mayChangeUser(); err != nil {
		return Identity{}, fmt.Errorf("workers cannot run as %s: %w", id.name, err)
	}
	id.credential = &cred
	return id, nil
}

// findUser takes a name for a name first, as chown(1) does. A number need not be in the user database.
func findUser(name string) (*user.User, error) {
	u, err := user.Lookup(name)
	if err == nil {
		return u, nil
	}
	var unknown user.UnknownUserError
	if !errors.As(err, &unknown) {
		return nil, fmt.Errorf("--user %s: the user database cannot be read: %w", name, err)
	}
	if _, err := number(name); err != nil {
		return nil, fmt.Errorf("--user %s: there is no such user: give the name of one (getent passwd lists them) or a number", name)
	}
	if u, err = user.LookupId(name); err == nil {
		return u, nil
	}
	return &user.User{Uid: name, Username: name, HomeDir: "/"}, nil
}

func findGroup(name string) (gid string, err error) {
	g, err := user.LookupGroup(name)
	if err == nil {
		return g.Gid, nil
	}
	var unknown user.UnknownGroupError
	if !errors.As(err, &unknown) {
		return "", fmt.Errorf("--group %s: the group database cannot be read: %w", name, err)
	}
	if _, err := number(name); err != nil {
		return "", fmt.Errorf("--group %s: there is no such group: give the name of one (getent group lists them) or a number", name)
	}
	return name, nil
}

func supplementary(u *user.User) ([]uint32, error) {
	if u.Gid == "" {
		return nil, nil
	}
	ids, err := u.GroupIds()
	if err != nil {
		return nil, fmt.Errorf("its groups: %w", err)
	}
	groups := make([]uint32, len(ids))
	for i, id := range ids {
		if groups[i], err = number(id); err != nil {
			return nil, err
		}
	}
	return groups, nil
}

// number is a uid or gid. The highest one means "leave it as it is" to the kernel.
func number(text string) (uint32, error) {
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil || n == math.MaxUint32 {
		return 0, fmt.Errorf("%q is no user or group number (0 to %d)", text, uint32(math.MaxUint32-1))
	}
	return uint32(n), nil
}

// Env is what the environment says about the user: HOME, LOGNAME and USER, or nothing if no user was named.
func (id Identity) Env() []string { return id.env }

func (id Identity) String() string { return cmp.Or(id.name, "this user") }

// obstacle is what the user may not enter or execute by its mode: the file or directory itself or, if the way to it counts,
// a directory on that; empty if there is none. It knows of no access lists, so it only explains what the kernel has refused.
func (id Identity) obstacle(path string, way bool) string {
	uid, groups := uint32(os.Geteuid()), id.groups()
	if id.credential != nil {
		uid = id.credential.Uid
	}
	for i := range len(path) + 1 {
		if i < len(path) && (path[i] != '/' || !way) {
			continue
		}
		part := cmp.Or(path[:i], "/")
		st, err := os.Stat(part)
		if err != nil {
			return ""
		}
		owner := st.Sys().(*syscall.Stat_t)
		x := os.FileMode(0o001)
		switch {
		case uid == 0:
			x = 0o111
		case owner.Uid == uid:
			x = 0o100
		case slices.Contains(groups, owner.Gid):
			x = 0o010
		}
		if st.Mode()&x == 0 && (uid != 0 || !st.IsDir()) {
			return fmt.Sprintf("%s (%v, owner %d:%d)", part, st.Mode(), owner.Uid, owner.Gid)
		}
	}
	return ""
}

func (id Identity) groups() []uint32 {
	gids := []uint32{uint32(os.Getegid())}
	if id.credential != nil {
		gids = append([]uint32{id.credential.Gid}, id.credential.Groups...)
	}
	if id.credential == nil || id.credential.NoSetGroups {
		own, _ := os.Getgroups()
		for _, gid := range own {
			gids = append(gids, uint32(gid))
		}
	}
	return gids
}
