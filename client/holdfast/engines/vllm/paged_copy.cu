// Copies blocks between the pages of a KV cache and staging slots, in either direction.
//
// A block is cut into tiles: contiguous stretches of at most 2 KiB, each in one run of one layer.
// A team of 32 threads copies one tile of one block at a time, so that small runs leave few threads
// idle and large ones are spread over all teams. Slots lie in pinned host memory: the copy over the
// bus is the kernel's own reads or writes. tests/engines runs this file on the host, too.

#define TEAM 32
#define AT_ONCE 4      // words of one thread; a whole tile of 16-byte words in one go
#define BLOCKS_MAX 256  // of one launch; the moves then fit in a kernel's 4 KiB of parameters

struct Tile {
    long long address;  // in the page of block 0
    long long stride;   // from one block to the next
    long long place;    // in a slot
    long long nbytes;
};

struct Moves {
    int block[BLOCKS_MAX];
    int slot[BLOCKS_MAX];
};

template <typename Word>
__device__ void copy_as(char* to, const char* from, int nbytes, int member) {
    Word* words_to = reinterpret_cast<Word*>(to);
    const Word* words_from = reinterpret_cast<const Word*>(from);
    const int words = nbytes / static_cast<int>(sizeof(Word));
    for (int first = member; first < words; first += AT_ONCE * TEAM) {
        Word held[AT_ONCE];  // all loads before the first store: a load from the host takes long
#pragma unroll
        for (int place = 0; place < AT_ONCE; ++place) {
            const int word = first + place * TEAM;
            if (word < words) held[place] = words_from[word];
        }
#pragma unroll
        for (int place = 0; place < AT_ONCE; ++place) {
            const int word = first + place * TEAM;
            if (word < words) words_to[word] = held[place];
        }
    }
}

__device__ void copy_tile(char* to, const char* from, int nbytes, int member) {
    const unsigned long long all = reinterpret_cast<unsigned long long>(to) |
                                   reinterpret_cast<unsigned long long>(from) |
                                   static_cast<unsigned long long>(nbytes);
    if (all % sizeof(uint4) == 0) {
        copy_as<uint4>(to, from, nbytes, member);
    } else if (all % sizeof(uint1) == 0) {
        copy_as<uint1>(to, from, nbytes, member);
    } else {
        copy_as<uchar1>(to, from, nbytes, member);
    }
}

extern "C" __global__ void paged_copy(const Tile* tiles, int tile_count, Moves moves,
                                      int move_count, char* staging, long long slot_bytes,
                                      int into_pages) {
    const unsigned int thread = blockIdx.x * blockDim.x + threadIdx.x;
    const unsigned int teams = gridDim.x * blockDim.x / TEAM;
    const unsigned int work_count = static_cast<unsigned int>(tile_count) * move_count;
    for (unsigned int work = thread / TEAM; work < work_count; work += teams) {
        const Tile tile = tiles[work % tile_count];
        const unsigned int move = work / tile_count;
        char* page = reinterpret_cast<char*>(tile.address) + moves.block[move] * tile.stride;
        char* slot = staging + moves.slot[move] * slot_bytes + tile.place;
        char* to = into_pages ? page : slot;
        const char* from = into_pages ? slot : page;
        copy_tile(to, from, static_cast<int>(tile.nbytes), thread % TEAM);
    }
}
