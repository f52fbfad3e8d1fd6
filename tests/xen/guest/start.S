/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where Xen enters a PVH guest: 32-bit protected mode, flat segments, paging off. The guest takes no
 * interrupt and needs no start info, only a stack.
 */
	.code32

	.section .note.Xen, "a", @note
	.align 4
	.long name_end - name
	.long 4
	.long 18		/* XEN_ELFNOTE_PHYS32_ENTRY */
name:	.asciz "Xen"
name_end:
	.align 4
	.long guest_start

	.text
	.globl guest_start
guest_start:
	cli
	cld
	mov $stack_top, %esp
	xor %ebp, %ebp
	call guest_main

	.bss
	.align 16
	.skip 4096
stack_top:

	.section .note.GNU-stack, "", @progbits
