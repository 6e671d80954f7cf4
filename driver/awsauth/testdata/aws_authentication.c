/*
 * AWSAuthenticationPlugin for MySQL 8.0 to 9.7: accounts of it log in with a password in
 * clear, which a test judges that listens on VERIFIER_PORT of this machine. The plugin is
 * for tests; that of RDS comes with RDS.
 *
 * The declarations are those of mysql/plugin.h and mysql/plugin_auth.h, so that no
 * headers of the server are needed.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { authentication_plugin = 7, cr_ok = -1, cr_error = 0 };

struct vio {
  int (*read_packet)(struct vio *, unsigned char **);
  int (*write_packet)(struct vio *, const unsigned char *, int);
  void (*info)(struct vio *, void *);
};

struct auth_info { /* its beginning */
  char *user_name;
  unsigned user_name_length;
};

struct auth {
  int interface_version;
  const char *client_plugin;
  int (*authenticate)(struct vio *, struct auth_info *);
  int (*generate)(char *, unsigned *, const char *, unsigned);
  int (*validate)(char *, unsigned);
  int (*set_salt)(const char *, unsigned, unsigned char *, unsigned char *);
  unsigned long flags;
  int (*compare)(const char *, unsigned long, const char *, unsigned long, int *);
};

struct plugin {
  int type;
  void *info;
  const char *name, *author, *description;
  int license;
  int (*init)(void *), (*check_uninstall)(void *), (*deinit)(void *);
  unsigned version;
  void *status_variables, *system_variables, *reserved;
  unsigned long flags;
};

static int put(int s, const void *text, size_t n) {
  return send(s, text, n, MSG_NOSIGNAL) == (ssize_t)n;
}

/* The verifier is sent the user and the password, a line each, and answers y or n. */
static int authenticate(struct vio *vio, struct auth_info *info) {
  unsigned char *password;
  char answer = 'n';
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(VERIFIER_PORT), .sin_addr = {htonl(INADDR_LOOPBACK)}};
  int n = vio->read_packet(vio, &password), s;
  if (n < 1 || password[n - 1] != 0) return cr_error;
  if ((s = socket(AF_INET, SOCK_STREAM, 0)) < 0) return cr_error;
  if (connect(s, (struct sockaddr *)&to, sizeof to) == 0 && put(s, info->user_name, info->user_name_length) &&
      put(s, "\n", 1) && put(s, password, n - 1) && put(s, "\n", 1) && read(s, &answer, 1) != 1)
    answer = 'n';
  close(s);
  return answer == 'y' ? cr_ok : cr_error;
}

static int generate(char *out, unsigned *length, const char *in, unsigned n) {
  (void)out, (void)in, (void)n;
  *length = 0;
  return 0;
}

static int validate(char *text, unsigned n) {
  return !(n == 3 && memcmp(text, "RDS", 3) == 0);
}

static int set_salt(const char *text, unsigned n, unsigned char *salt, unsigned char *length) {
  (void)text, (void)n, (void)salt;
  *length = 0;
  return 0;
}

static struct auth handler = {0x0201, "mysql_clear_password", authenticate, generate, validate, set_salt, 0, 0};

int _mysql_plugin_interface_version_ = 0x010B;
int _mysql_sizeof_struct_st_plugin_ = sizeof(struct plugin);
struct plugin _mysql_plugin_declarations_[] = {
    {authentication_plugin, &handler, "AWSAuthenticationPlugin", "", "IAM tokens, for tests", 0, 0, 0, 0, 0x0100, 0, 0, 0, 0},
    {0}};
