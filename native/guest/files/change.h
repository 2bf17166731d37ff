// guest: changes of files: write, make a directory, rename, set modes and owners, delete.
#ifndef VOLANT_GUEST_CHANGE_H
#define VOLANT_GUEST_CHANGE_H

#include "files/options.h"

// Each carries out a request, answers it, and ends the process.
void change_write(int root, const struct file_options *options) __attribute__((noreturn));
void change_make_directory(int root, const struct file_options *options) __attribute__((noreturn));
void change_set(int root, const struct file_options *options) __attribute__((noreturn));
void change_delete(int root, const struct file_options *options) __attribute__((noreturn));

#endif
