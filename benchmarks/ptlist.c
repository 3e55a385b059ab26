/* Lists the packets of an Intel PT trace with libipt, the reference decoder, one line each, as its own tool does
 * (ptdump --lastip --no-offset --no-pad --no-timing --no-cyc), with less ado: a baseline of bench_traces.py.
 *
 *     cc -O2 -o ptlist ptlist.c -lipt          (Debian: libipt-dev)
 *     ./ptlist trace_0
 */
#include <inttypes.h>
#include <intel-pt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint8_t *read_all(const char *path, size_t *size)
{
	FILE *file = fopen(path, "rb");
	uint8_t *bytes;

	if (!file || fseek(file, 0, SEEK_END))
		return NULL;
	*size = (size_t)ftell(file);
	rewind(file);
	bytes = malloc(*size);
	if (bytes && fread(bytes, 1, *size, file) != *size)
		return NULL;
	fclose(file);
	return bytes;
}

static uint64_t last_ip;

static void list_ip(const char *name, const struct pt_packet_ip *ip)
{
	static const int bits[] = { 0, 16, 32, 48, 48, 0, 64, 0 };
	uint64_t kept = bits[ip->ipc] == 64 || ip->ipc == 3 ? 0 : last_ip >> bits[ip->ipc] << bits[ip->ipc];

	if (!ip->ipc) {
		printf("%s  0: ????????????????  <suppressed>\n", name);
		return;
	}
	last_ip = kept | ip->ip;
	if (ip->ipc == 3)
		last_ip = (uint64_t)((int64_t)(last_ip << 16) >> 16);
	printf("%s  %x: %016" PRIx64 "  %016" PRIx64 "\n", name, ip->ipc, ip->ip, last_ip);
}

static void list_tnt(const char *name, const struct pt_packet_tnt *tnt)
{
	char text[65];
	int i;

	for (i = 0; i < tnt->bit_size; i++)
		text[i] = tnt->payload >> (tnt->bit_size - 1 - i) & 1 ? '!' : '.';
	text[i] = 0;
	printf("%s  %s\n", name, text);
}

static void list(const struct pt_packet *packet)
{
	switch (packet->type) {
	case ppt_psb:
		last_ip = 0;
		printf("psb\n");
		break;
	case ppt_pad:
	case ppt_tsc:
	case ppt_tma:
	case ppt_mtc:
	case ppt_cyc:
	case ppt_cbr:
		break;
	case ppt_tip: list_ip("tip", &packet->payload.ip); break;
	case ppt_tip_pge: list_ip("tip.pge", &packet->payload.ip); break;
	case ppt_tip_pgd: list_ip("tip.pgd", &packet->payload.ip); break;
	case ppt_fup: list_ip("fup", &packet->payload.ip); break;
	case ppt_tnt_8: list_tnt("tnt.8", &packet->payload.tnt); break;
	case ppt_tnt_64: list_tnt("tnt.64", &packet->payload.tnt); break;
	case ppt_pip: printf("pip  %" PRIx64 "\n", packet->payload.pip.cr3); break;
	default: printf("other %d\n", packet->type); break;
	}
}

int main(int argc, char **argv)
{
	struct pt_packet_decoder *decoder;
	struct pt_packet packet;
	struct pt_config config;
	size_t size;
	uint8_t *bytes = argc == 2 ? read_all(argv[1], &size) : NULL;

	if (!bytes)
		return 1;
	memset(&config, 0, sizeof(config));
	config.size = sizeof(config);
	config.begin = bytes;
	config.end = bytes + size;
	decoder = pt_pkt_alloc_decoder(&config);
	while (decoder && pt_pkt_sync_forward(decoder) >= 0)
		while (pt_pkt_next(decoder, &packet, sizeof(packet)) > 0)
			list(&packet);
	pt_pkt_free_decoder(decoder);
	return 0;
}
