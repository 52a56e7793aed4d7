/* A guest of 512 bytes: a boot sector that says "guest up" on its first serial
 * port and then "tick 000001", "tick 000002", ... once a second. It sleeps between
 * the BIOS's timer interrupts, so many of them fit on a small machine. There is
 * no ACPI in it: it ignores the power button, as some guests do. Every line ends
 * in eight digits that tell this boot of it from others: "tick 000002 5b2c91f0".
 *
 *   as --32 [--defsym PACE=3] -o guest.o guest.S    so many counts between two ticks
 *   ld -m elf_i386 -Ttext 0x7c00 --oformat binary -o guest.img guest.o */
	.code16
	.globl _start

	.set COM1, 0x3f8
	.set COM1_INTERRUPTS, COM1 + 1
	.set COM1_STATUS, COM1 + 5
	.set READY_TO_SEND, 0x20
	.set TIMER, 0x46c		/* BIOS data area: 18.2 counts a second */
	.ifndef PACE
	.set PACE, 18
	.endif

_start:
	ljmp $0, $begin
begin:
	xor %ax, %ax
	mov %ax, %ds
	mov %ax, %ss
	mov $0x7c00, %sp
	cld
	sti
	mov $COM1_INTERRUPTS, %dx
	out %al, %dx

	/* What tells this boot from others is the time stamp counter. */
	rdtsc
	mov $boot, %di
	mov $8, %cx
name:
	rol $4, %eax
	mov %al, %bl
	and $15, %bx
	mov digits(%bx), %bl
	mov %bl, (%di)
	inc %di
	loop name

	mov $greeting, %si
	call print
	mov $boot_line, %si
	call print

next_second:
	mov TIMER, %bx
wait:
	hlt
	mov TIMER, %ax
	sub %bx, %ax
	cmp $PACE, %ax
	jb wait

	/* Count in decimal, in the text itself: carry from the last digit to the left. */
	mov $last_digit, %di
count:
	incb (%di)
	cmpb $'9', (%di)
	jbe counted
	movb $'0', (%di)
	dec %di
	cmp $first_digit, %di
	jae count
counted:
	mov $tick, %si
	call print
	mov $boot_line, %si
	call print
	jmp next_second

/* Send the text at %si, which ends in 0. */
print:
	lodsb
	test %al, %al
	jz printed
	mov %al, %ah
	mov $COM1_STATUS, %dx
busy:
	in %dx, %al
	test $READY_TO_SEND, %al
	jz busy
	mov %ah, %al
	mov $COM1, %dx
	out %al, %dx
	jmp print
printed:
	ret

greeting:
	.asciz "guest up"
tick:
	.ascii "tick "
first_digit:
	.ascii "00000"
last_digit:
	.asciz "0"
boot_line:
	.ascii " "
boot:
	.asciz "00000000\r\n"
digits:
	.ascii "0123456789abcdef"

	.org 510
	.word 0xaa55
