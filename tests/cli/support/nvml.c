// A stand-in for libnvidia-ml, as far as empire-maint asks. What the devices say is in a file beside the library, PATH.scene, read at
// init, one setting a line:
//
//   devices N               how many there are
//   init CODE               what nvmlInit_v2 returns
//   all KEY VALUE           of every device
//   N KEY VALUE             of device N
//   fail FUNCTION CODE      what a function returns for every device
//   N dies CALLS            device N answers so many calls and is lost then
//   hang FUNCTION           a function that never returns
//
// Keys: memory_used memory_total (MiB) utilization temperature slowdown power throttle corrected uncorrected pending failed remapped
// width width_max generation generation_max replays mig process_pid process_memory (MiB). Whether persistence mode is on is in
// PATH.persistence, a character for each device. Compiled with -DOLD, some functions are not there.
//
// Structures and codes are those of NVML's interface.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SUCCESS = 0, INVALID = 2, NOT_SUPPORTED = 3, NO_PERMISSION = 4, INSUFFICIENT = 7, LOST = 15 };
enum { DEVICES = 8, KEYS = 24, FAILS = 16 };
typedef unsigned int u32;
typedef unsigned long long u64;

static const char *const keys[KEYS] = {
    "memory_used", "memory_total", "utilization", "temperature", "slowdown", "power", "throttle", "corrected",
    "uncorrected", "pending", "failed", "remapped", "width", "width_max", "generation", "generation_max", "replays",
    "mig", "process_pid", "process_memory", "dies"};
struct device {
    int index;
    long value[KEYS];
};
static struct device devices[DEVICES];
static int count = 2, init_code;
static struct { char name[64]; int code; } fails[FAILS];
static int failing;
static char hanging[64], path[4096];

static int key(const char *name) {
    for (int i = 0; i < KEYS && keys[i]; i++)
        if (!strcmp(keys[i], name)) return i;
    fprintf(stderr, "nvml.c: no key %s\n", name);
    abort();
}
static long get(const struct device *device, const char *name) { return device->value[key(name)]; }

// What a call returns before it looks at anything.
static int enter(struct device *device, const char *function) {
    if (!strcmp(hanging, function)) sleep(3600);
    for (int i = 0; i < failing; i++)
        if (!strcmp(fails[i].name, function)) return fails[i].code;
    if (!device) return SUCCESS;
    long *left = &device->value[key("dies")];
    if (*left == 0) return LOST;
    if (*left > 0) --*left;
    return SUCCESS;
}
#define ENTER(device) do { int code = enter(device, __func__); if (code) return code; } while (0)

static void setting(const char *line) {
    char who[64], what[64];
    long value = 0;
    int words = sscanf(line, "%63s %63s %ld", who, what, &value);
    if (words >= 2 && !strcmp(who, "devices")) count = atoi(what);
    else if (words >= 2 && !strcmp(who, "init")) init_code = atoi(what);
    else if (words >= 2 && !strcmp(who, "hang")) strcpy(hanging, what);
    else if (words == 3 && !strcmp(who, "fail")) {
        strcpy(fails[failing].name, what);
        fails[failing++].code = (int)value;
    } else if (words == 3)
        for (int i = 0; i < DEVICES; i++)
            if (!strcmp(who, "all") || atoi(who) == i) devices[i].value[key(what)] = value;
}

int nvmlInit_v2(void) {
    static const char *const usual[] = {"all memory_used 8192", "all memory_total 81920", "all temperature 45",
        "all slowdown 90", "all power 120000", "all width 16", "all width_max 16", "all generation 4",
        "all generation_max 4", "all dies -1"};
    Dl_info self;
    dladdr((void *)nvmlInit_v2, &self);
    snprintf(path, sizeof path, "%s", self.dli_fname);
    for (int i = 0; i < DEVICES; i++) devices[i].index = i;
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++) setting(usual[i]);
    char name[4200], line[256];
    snprintf(name, sizeof name, "%s.scene", path);
    FILE *scene = fopen(name, "r");
    while (scene && fgets(line, sizeof line, scene)) setting(line);
    if (scene) fclose(scene);
    if (!strcmp(hanging, __func__)) sleep(3600);
    return init_code;
}
int nvmlShutdown(void) { return SUCCESS; }
const char *nvmlErrorString(int code) { return code ? "an error" : "none"; }
int nvmlSystemGetDriverVersion(char *version, u32 length) { return snprintf(version, length, "580.65.06"), SUCCESS; }
int nvmlDeviceGetCount_v2(u32 *number) { ENTER(NULL); return *number = (u32)count, SUCCESS; }
int nvmlDeviceGetHandleByIndex_v2(u32 index, struct device **device) {
    if ((int)index >= count) return INVALID;
    *device = &devices[index];
    ENTER(*device);
    return SUCCESS;
}
int nvmlDeviceGetUUID(struct device *d, char *uuid, u32 length) {
    ENTER(d);
    return snprintf(uuid, length, "GPU-0000000%d-aaaa-bbbb-cccc-dddddddddddd", d->index), SUCCESS;
}
int nvmlDeviceGetName(struct device *d, char *name, u32 length) { ENTER(d); return snprintf(name, length, "Stand-in H100"), SUCCESS; }
struct pci { char legacy[16]; u32 domain, bus, device, id, subsystem; char bus_id[32]; };
int nvmlDeviceGetPciInfo_v3(struct device *d, struct pci *pci) {
    ENTER(d);
    memset(pci, 0, sizeof *pci);
    snprintf(pci->bus_id, 32, "00000000:%02X:00.0", 0x65 + d->index);
    snprintf(pci->legacy, 16, "0000:%02X:00.0", 0x65 + d->index);
    return SUCCESS;
}
struct memory { u32 version; u64 total, reserved, free, used; };
#ifndef OLD
int nvmlDeviceGetMemoryInfo_v2(struct device *d, struct memory *memory) {
    ENTER(d);
    memory->total = (u64)get(d, "memory_total") << 20;
    memory->used = (u64)get(d, "memory_used") << 20;
    memory->reserved = 0;
    memory->free = memory->total - memory->used;
    return SUCCESS;
}
struct field { u32 id, scope; long long at, took; u32 type; int code; union { double d; u32 u; u64 all; } value; };
int nvmlDeviceGetFieldValues(struct device *d, int number, struct field *fields) {
    ENTER(d);
    for (int i = 0; i < number; i++) {
        static const char *const names[] = {"remapped", "remapped", "pending", "failed"};
        fields[i].code = fields[i].id >= 142 && fields[i].id <= 145 ? SUCCESS : NOT_SUPPORTED;
        fields[i].type = 1;
        fields[i].value.all = 0;
        if (!fields[i].code) fields[i].value.u = fields[i].id == 142 ? 0 : (u32)get(d, names[fields[i].id - 142]);
    }
    return SUCCESS;
}
int nvmlDeviceGetMigMode(struct device *d, u32 *now, u32 *then) { ENTER(d); return *now = *then = (u32)get(d, "mig"), SUCCESS; }
int nvmlDeviceGetCurrentClocksThrottleReasons(struct device *d, u64 *reasons) { ENTER(d); return *reasons = (u64)get(d, "throttle"), SUCCESS; }
#endif
int nvmlDeviceGetUtilizationRates(struct device *d, u32 *rates) {
    ENTER(d);
    rates[0] = (u32)get(d, "utilization");
    rates[1] = rates[0] / 2;
    return SUCCESS;
}
int nvmlDeviceGetTemperature(struct device *d, int sensor, u32 *value) { ENTER(d); return (void)sensor, *value = (u32)get(d, "temperature"), SUCCESS; }
int nvmlDeviceGetTemperatureThreshold(struct device *d, int kind, u32 *value) { ENTER(d); return (void)kind, *value = (u32)get(d, "slowdown"), SUCCESS; }
int nvmlDeviceGetPowerUsage(struct device *d, u32 *value) { ENTER(d); return *value = (u32)get(d, "power"), SUCCESS; }
int nvmlDeviceGetEnforcedPowerLimit(struct device *d, u32 *value) { ENTER(d); return *value = 700000, SUCCESS; }
int nvmlDeviceGetClockInfo(struct device *d, int kind, u32 *value) { ENTER(d); return *value = kind == 2 ? 2619 : 1500, SUCCESS; }
int nvmlDeviceGetMaxClockInfo(struct device *d, int kind, u32 *value) { ENTER(d); return (void)kind, *value = 1980, SUCCESS; }
int nvmlDeviceGetTotalEccErrors(struct device *d, int kind, int counter, u64 *value) {
    ENTER(d);
    return (void)counter, *value = (u64)get(d, kind ? "uncorrected" : "corrected"), SUCCESS;
}
int nvmlDeviceGetRetiredPages(struct device *d, int cause, u32 *number, u64 *pages) { ENTER(d); return (void)cause, (void)number, (void)pages, NOT_SUPPORTED; }
int nvmlDeviceGetRetiredPages_v2(struct device *d, int cause, u32 *number, u64 *pages, u64 *times) { return (void)times, nvmlDeviceGetRetiredPages(d, cause, number, pages); }
int nvmlDeviceGetCurrPcieLinkWidth(struct device *d, u32 *value) { ENTER(d); return *value = (u32)get(d, "width"), SUCCESS; }
int nvmlDeviceGetMaxPcieLinkWidth(struct device *d, u32 *value) { ENTER(d); return *value = (u32)get(d, "width_max"), SUCCESS; }
int nvmlDeviceGetCurrPcieLinkGeneration(struct device *d, u32 *value) { ENTER(d); return *value = (u32)get(d, "generation"), SUCCESS; }
int nvmlDeviceGetMaxPcieLinkGeneration(struct device *d, u32 *value) { ENTER(d); return *value = (u32)get(d, "generation_max"), SUCCESS; }
int nvmlDeviceGetPcieReplayCounter(struct device *d, u32 *value) { ENTER(d); return *value = (u32)get(d, "replays"), SUCCESS; }

static void persistence(char modes[DEVICES + 1], int write) {
    char name[4200];
    snprintf(name, sizeof name, "%s.persistence", path);
    FILE *file = fopen(name, write ? "w" : "r");
    if (!write) strcpy(modes, "11111111");
    if (file && write) fputs(modes, file);
    if (file && !write && !fgets(modes, DEVICES + 1, file)) strcpy(modes, "11111111");
    if (file) fclose(file);
}
int nvmlDeviceGetPersistenceMode(struct device *d, u32 *mode) {
    char modes[DEVICES + 1];
    ENTER(d);
    persistence(modes, 0);
    return *mode = modes[d->index] == '1', SUCCESS;
}
int nvmlDeviceSetPersistenceMode(struct device *d, u32 mode) {
    char modes[DEVICES + 1];
    ENTER(d);
    persistence(modes, 0);
    modes[d->index] = mode ? '1' : '0';
    persistence(modes, 1);
    return SUCCESS;
}
struct process { u32 pid; u64 memory; u32 instance, compute; };
int nvmlDeviceGetComputeRunningProcesses_v3(struct device *d, u32 *number, struct process *processes) {
    ENTER(d);
    if (!get(d, "process_pid")) return *number = 0, SUCCESS;
    if (*number < 1 || !processes) return *number = 1, INSUFFICIENT;
    *number = 1;
    long mib = get(d, "process_memory");
    processes[0] = (struct process){(u32)get(d, "process_pid"), mib < 0 ? ~0ULL : (u64)mib << 20, ~0U, ~0U};
    return SUCCESS;
}
int nvmlDeviceGetGraphicsRunningProcesses_v3(struct device *d, u32 *number, struct process *processes) {
    ENTER(d);
    return (void)processes, *number = 0, SUCCESS;
}
