/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The smallest kernel of which Xen makes a PV domain, for tests that such a domain is refused. It is meant to
 * be created paused; should it ever run, it yields for good.
 */
	.macro note type, value:vararg
	.pushsection .note.Xen, "a", @note
	.align 4
	.long 4
	.long 2f - 1f
	.long \type
	.asciz "Xen"
	.align 4
1:	\value
2:	.popsection
	.endm

	note 1,  .quad guest_start	/* XEN_ELFNOTE_ENTRY */
	note 3,  .quad 0		/* XEN_ELFNOTE_VIRT_BASE */
	note 5,  .asciz "xen-3.0"	/* XEN_ELFNOTE_XEN_VERSION */
	note 6,  .asciz "none"		/* XEN_ELFNOTE_GUEST_OS */
	note 8,  .asciz "generic"	/* XEN_ELFNOTE_LOADER */

	.text
	.globl guest_start
guest_start:
	mov $29, %eax			/* sched_op */
	xor %edi, %edi			/* SCHEDOP_yield */
	syscall
	jmp guest_start

	.section .note.GNU-stack, "", @progbits
