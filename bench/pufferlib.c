// One of PufferLib 3's environments behind two functions, for bench/contestants.py, which compiles this file with
// -DENVIRONMENT_name and with PufferLib's folders as include paths. Nothing of PufferLib's is in this repository.

#if ENVIRONMENT_squared
#include "squared/squared.h"
typedef Squared Env;
static void configure(Env* env) { env->size = 11; }

#elif ENVIRONMENT_cartpole
#include "cartpole/cartpole.h"
typedef Cartpole Env;
static void configure(Env* env) { init(env); }

#elif ENVIRONMENT_pong
#include "pong/pong.h"
typedef Pong Env;
static void configure(Env* env) {
    env->width = 500, env->height = 640;
    env->paddle_width = 20, env->paddle_height = 70, env->paddle_speed = 8;
    env->ball_width = 32, env->ball_height = 32;
    env->ball_initial_speed_x = 10, env->ball_initial_speed_y = 1;
    env->ball_max_speed_y = 13, env->ball_speed_y_increment = 3;
    env->max_score = 21;
    env->frameskip = 4;  // as ours
    init(env);
}

#elif ENVIRONMENT_breakout
#include "breakout/breakout.h"
typedef Breakout Env;
static void configure(Env* env) {
    env->frameskip = 4;  // as ours
    env->width = 576, env->height = 330;
    env->paddle_width = 62, env->paddle_height = 8;
    env->ball_width = 32, env->ball_height = 32;
    env->brick_width = 32, env->brick_height = 12, env->brick_rows = 6, env->brick_cols = 18;
    init(env);
}

#elif ENVIRONMENT_snake
#include "snake/snake.h"
typedef CSnake Env;
static void configure(Env* env) {  // our defaults; walls are as thick as a snake sees
    env->num_snakes = 16, env->food = 32, env->vision = 5;
    env->width = 32 + 2 * 5, env->height = 32 + 2 * 5;
    env->leave_corpse_on_death = 1;
    env->reward_food = 0.1f, env->reward_corpse = 0.1f, env->reward_death = -1.0f;
    env->max_snake_length = 1024;
    init_csnake(env);
}

#elif ENVIRONMENT_tetris
#include "tetris/tetris.h"
typedef Tetris Env;
static void configure(Env* env) {
    env->n_rows = 20, env->n_cols = 10, env->deck_size = 3;
    init(env);
}

#elif ENVIRONMENT_rware
#include "rware/rware.h"
typedef CRware Env;
static void configure(Env* env) {  // our defaults: the tiny warehouse, two robots
    env->width = 1280, env->height = 640, env->grid_square_size = 64;
    env->map_choice = 1, env->num_agents = 2, env->num_requested_shelves = 2, env->reward_type = 1;
    init(env);
}
#endif

#define PUBLIC __attribute__((visibility("default")))

// num_envs environments with `agents` rows each, reset; the arrays hold a row for each agent.
PUBLIC void* make(int num_envs, int agents, char* observations, int row_bytes, int* actions, float* rewards,
                  unsigned char* terminals) {
    Env* envs = calloc(num_envs, sizeof(Env));
    for (int i = 0; i < num_envs; i++) {
        envs[i].observations = (void*)(observations + (size_t)i * agents * row_bytes);
        envs[i].actions = (void*)(actions + i * agents);  // int or float, of four bytes both
        envs[i].rewards = rewards + i * agents;
        envs[i].terminals = terminals + i * agents;
#if ENVIRONMENT_cartpole
        envs[i].truncations = calloc(1, 1);
#endif
        srand(i);
        configure(&envs[i]);
        c_reset(&envs[i]);
    }
    return envs;
}

PUBLIC void step(Env* envs, int num_envs) {
    for (int i = 0; i < num_envs; i++) {
        c_step(&envs[i]);
    }
}
