// Runs paged_copy.cu on the host: its threads one after the other, words checked for alignment.
#include <stdint.h>

static bool misaligned;

// As CUDA's own types, and they tell where a GPU would raise an error.
template <typename Part, int parts>
struct Word {
    Part part[parts];
    Word() = default;
    Word(const Word& other) { *this = other; }
    Word& operator=(const Word& other) {
        const auto both = reinterpret_cast<uintptr_t>(this) |
                          reinterpret_cast<uintptr_t>(&other);
        misaligned = misaligned || both % sizeof(Word) != 0;
        for (int i = 0; i < parts; ++i) part[i] = other.part[i];
        return *this;
    }
};
struct alignas(16) uint4 : Word<unsigned int, 4> {};
using uint1 = Word<unsigned int, 1>;
using uchar1 = Word<unsigned char, 1>;

struct Index {
    unsigned int x;
};
static Index blockIdx, blockDim, threadIdx, gridDim;

#define __device__
#define __global__
#include KERNEL

// Answers whether every word was aligned.
extern "C" int run(unsigned int grid, unsigned int block, const void* tiles, int tile_count,
                   const void* moves, int move_count, char* staging, long long slot_bytes,
                   int into_pages) {
    misaligned = false;
    gridDim.x = grid;
    blockDim.x = block;
    for (blockIdx.x = 0; blockIdx.x < grid; ++blockIdx.x) {
        for (threadIdx.x = 0; threadIdx.x < block; ++threadIdx.x) {
            paged_copy(static_cast<const Tile*>(tiles), tile_count,
                       *static_cast<const Moves*>(moves), move_count, staging, slot_bytes,
                       into_pages);
        }
    }
    return misaligned ? 0 : 1;
}
